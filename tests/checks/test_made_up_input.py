"""Loops that give random numbers to the network, instead of the batch or beside it."""

import pytest
import torch

import nn_inspector as nni
from tests.trainings import classifier_of, mlp


def reads(loop_body, epochs=12):
    """Watch a classifier whose loop is one of those below."""
    made = classifier_of(mlp(), lr=1e-3)
    loop = loop_body(made.model, made.optimizer, made.loss_fn, made.train_loader, epochs)
    with nni.watch(
        made.model, made.optimizer, made.loss_fn, train_loader=made.train_loader, loop=loop, show=False
    ) as one:
        loop()
        return one.check("zero_input", seconds=300.0)


def noise_alone(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                noise = 0.1 * torch.randn_like(x)
                loss = loss_fn(model(noise), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def noise_in_two_lines(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                z = torch.randn(x.size(0), x.shape[1], device=x.device)
                z = z * 2
                loss = loss_fn(model(z), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def noise_added(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                noise = 0.1 * torch.randn_like(x)
                noisy = x + noise
                loss = loss_fn(model(noisy), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def mixed(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                keep = torch.rand_like(x) > 0.1
                kept = x * keep
                loss = loss_fn(model(kept), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


@pytest.mark.parametrize(("body", "name"), [(noise_alone, "noise"), (noise_in_two_lines, "z")])
def test_a_loop_that_gives_random_numbers_to_the_network(body, name):
    finding = reads(body)
    assert finding.severity == "error", finding.message
    assert f"the loop gives {name} to the network" in finding.message
    assert "random numbers" in finding.message
    assert f"model({name})" in finding.where
    assert "the inputs of the batch" in finding.remedy.text


@pytest.mark.parametrize("body", [noise_added, mixed])
def test_a_loop_that_adds_random_numbers_passes(body):
    assert reads(body).severity == "ok"
