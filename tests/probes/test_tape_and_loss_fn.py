"""What the loss is made of besides the loop's own lines: a loss that was given, a step, shares, scales and parts."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.experiments import isolated
from tests.probes.taped import (
    ITEMS,
    LARGER,
    Dictionary,
    Flat,
    Student,
    batch_of,
    functional,
    penalized,
    trained,
    tuples,
    viewed,
    watched,
)
from tests.trainings import blobs, mlp

pytestmark = pytest.mark.usefixtures("nothing_was_compiled")


class Squeezing(nn.Module):
    def forward(self, a, b):
        return ((a - b) ** 2).mean()


def test_a_loss_that_is_given_is_called_as_the_loop_does():
    loss_fn = Squeezing()
    training = watched(lambda m, b: loss_fn(m(b[0]).squeeze(), b[1].float()), Student, tuples, loss_fn=loss_fn)
    x, y = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        loss = copied.loss((x, y))
        torch.testing.assert_close(loss, loss_fn(copied.model(x).squeeze(), y.float()))


class OfBoth(nn.Module):
    """Takes what the model returned and the batch as they are."""

    def forward(self, output, batch):
        return F.cross_entropy(output["logits"], batch["label"]) + 0.1 * output["hidden"][0].square().mean()


def named(x, y):
    return {"image": x, "label": y}


@pytest.mark.parametrize("items", [ITEMS, LARGER])
def test_a_loss_is_given_the_dictionary_that_the_model_returned_and_the_batch(items):
    loss_fn = OfBoth()
    training = watched(lambda m, b: loss_fn(m(b["image"]), b), Dictionary, named, loss_fn=loss_fn)
    batch = batch_of(named, items)
    with isolated(training) as copied:
        expected = loss_fn(copy.deepcopy(copied.model)(batch["image"]), batch)
        loss = copied.loss(batch)
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert all(parameter.grad is not None for parameter in copied.model.parameters())


def test_a_loss_that_an_experiment_puts_there_judges_the_output_itself():
    training = watched(viewed, Flat, tuples, loss_fn=F.cross_entropy)
    x, y = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        output = copied.model(x)
        torch.testing.assert_close(copied.predict((x, y)), output)
        copied.loss_fn = F.multi_margin_loss
        torch.testing.assert_close(copied.loss((x, y)), F.multi_margin_loss(output, y))


def three_terms(model, batch):
    weights = sum(p.pow(2).sum() for p in model.parameters())
    return 0.1 * weights + F.cross_entropy(model(batch[0]), batch[1]) + 0.2 * model[0].weight.abs().sum()


@pytest.mark.parametrize("loss_of", [penalized, three_terms])
def test_a_penalty_can_be_left_out(loss_of):
    training = watched(loss_of, mlp, tuples)
    batch = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        copied.penalty = False
        torch.testing.assert_close(copied.loss(batch), functional(copied.model, batch))


def test_step_comes_first():
    training = watched(functional, mlp, tuples, step=lambda model, batch: 3 * functional(model, batch))
    batch = batch_of(tuples, ITEMS)
    with isolated(training) as copied:
        torch.testing.assert_close(copied.loss(batch), 3 * functional(copied.model, batch))


def test_a_share_of_an_accumulated_gradient_is_taken_as_a_whole():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(blobs(), batch_size=8)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for number, batch in enumerate(loader):
            (functional(model, batch) / 4).backward()
            if number % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    batch = batch_of(tuples, 8)
    loss = inspector.training.loss(model, None, batch)
    torch.testing.assert_close(loss, functional(model, batch))


@pytest.mark.parametrize(("taken", "factor"), [(64.0, 1.0), (2.0, 64.0), (None, 64.0)])
def test_a_scale_that_is_taken_from_the_gradients_is_left_out(taken, factor):
    def in_scale(model, optimizer, batch):
        (functional(model, batch) * 64.0).backward()
        for parameter in model.parameters() if taken is not None else ():
            parameter.grad.div_(taken)

    model = mlp()
    training = trained(model, in_scale)
    batch = batch_of(tuples, ITEMS)
    torch.testing.assert_close(training.loss(model, None, batch), factor * functional(model, batch))
    assert training.tape.taken_back == pytest.approx(64.0 / factor)


def test_parts_of_a_batch_are_added_up():
    def in_parts(model, optimizer, batch):
        for x, y in zip(batch[0].split(4), batch[1].split(4), strict=True):
            (F.cross_entropy(model(x), y) * len(x) / ITEMS).backward()

    model = mlp()
    training = trained(model, in_parts)
    batch = batch_of(tuples, ITEMS)
    torch.testing.assert_close(training.loss(model, None, batch), functional(model, batch))


def scaled(model, optimizer, batch):
    torch.amp.GradScaler("cpu", init_scale=8.0).scale(functional(model, batch)).backward()


def closed(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = functional(model, batch)
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize(
    ("backward", "make"),
    [(scaled, None), (closed, lambda parameters: torch.optim.LBFGS(parameters, max_iter=3)), (closed, None)],
    ids=["gradient scaler", "closure of LBFGS", "closure"],
)
def test_what_is_no_part_of_the_loss_is_left_out(backward, make):
    model = mlp()
    training = trained(model, backward, make)
    batch = batch_of(tuples, ITEMS)
    torch.testing.assert_close(training.loss(model, None, batch), functional(model, batch))
