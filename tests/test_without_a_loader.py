"""Loops without a loader are diagnosed from the data of their own first steps, and the texts say so."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from tests.trainings import blobs, mlp

X, Y = blobs().tensors
OF_ALL = "(There is no train_loader: copies were given the data that your loop uses in each step.)"
OF_STEPS = "(There is no train_loader: copies were given the data of the first 16 steps of your loop, again and again.)"


def all_at_once(model, optimizer):
    for _ in range(60):
        loss = F.cross_entropy(model(X), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def by_hand(model, optimizer):
    for _ in range(10):
        for rows in torch.randperm(len(X)).split(16):
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def residual(model, optimizer):
    for _ in range(100):
        x = torch.rand(32, 1, requires_grad=True)
        (du,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (d2u,) = torch.autograd.grad(du.sum(), x, create_graph=True)
        loss = (d2u + torch.sin(3 * x)).square().mean() + model(torch.tensor([[0.0], [1.0]])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def differs_in_each_step(model, optimizer):
    for count in range(1, 60):
        loss = sum(F.cross_entropy(model(X[place::7]), Y[place::7]) for place in range(count % 3 + 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def curve(activation):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 1))


def checked(name, loop, model, rate, **options):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    with nni.watch(model, optimizer, loop=lambda: loop(model, optimizer), show=False) as inspector:
        loop(model, optimizer)
        return inspector.check(name, **options)


@pytest.mark.parametrize(("loop", "said"), [(all_at_once, OF_ALL), (by_hand, OF_STEPS)])
def test_a_rate_too_low_is_named_and_on_what_it_was_tried(loop, said):
    found = checked("learning_rate", loop, mlp(), 1e-6)
    assert found.severity == "error"
    assert found.message.endswith(said)


@pytest.mark.parametrize("loop", [all_at_once, by_hand])
def test_a_fitting_rate_is_fine(loop):
    found = checked("learning_rate", loop, mlp(), 1e-2)
    assert found.severity == "ok"
    assert "train_loader" not in found.message


@pytest.mark.parametrize(("activation", "severity"), [(nn.ReLU, "error"), (nn.Tanh, "ok")])
def test_a_second_derivative_wants_a_curve(activation, severity):
    found = checked("hidden_activation", residual, curve(activation), 1e-3)
    assert found.severity == severity
    assert found.message.endswith(OF_STEPS) == (severity == "error")


def test_steps_of_different_kinds_show_their_parts_but_are_not_trained_on():
    assert checked("loss_terms", differs_in_each_step, mlp(), 1e-2).severity in ("ok", "info")
    found = checked("learning_rate", differs_in_each_step, mlp(), 1e-6)
    assert found.severity == "skipped"
    assert "each is computed in a way of its own" in found.message


def test_without_time_for_experiments_nothing_is_said_of_them():
    found = checked("learning_rate", all_at_once, mlp(), 1e-6, seconds=0)
    assert found.severity == "skipped"
