"""What cannot be computed again is said."""

import gc
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import isolated
from nn_inspector.probes import tape_modules
from tests.probes.taped import (
    ITEMS,
    Characters,
    Dictionary,
    Several,
    batch_of,
    from_a_dict,
    functional,
    parts_by_hand,
    tokens,
    trained,
    tuples,
    watched,
)
from tests.trainings import CLASSES, FEATURES, blobs, mlp

pytestmark = pytest.mark.usefixtures("nothing_was_compiled")


def test_parts_of_a_model_are_not_watched_where_torch_has_compiled(monkeypatch):
    monkeypatch.setattr(tape_modules, "compiled_frames", lambda: 1)
    training = watched(parts_by_hand, Several, tuples)
    assert training.tape is None
    assert "torch.compile was at work" in training.recorded.reason
    with (
        isolated(training) as copied,
        pytest.raises(ExperimentError, match=r"torch\.compile was at work.*Pass loss_fn"),
    ):
        copied.loss(batch_of(tuples, ITEMS))


def through_numpy(model, batch):
    x, y = batch
    return F.cross_entropy(model(torch.from_numpy(np.tanh(x.numpy()))), y)


def by_a_number(model, batch):
    x, y = batch
    factor = 1 + x.mean().item()
    return F.cross_entropy(model(x), y) * factor


def by_a_decision(model, batch):
    x, y = batch
    loss = F.cross_entropy(model(x), y)
    if loss > 0:
        loss = loss * 2
    return loss


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def own_gradient(model, batch):
    return F.cross_entropy(Reversed.apply(model(batch[0])), batch[1])


def by_chance(model, batch):
    x, y = batch
    loss = F.cross_entropy(model(x), y)
    return loss + model(x).pow(2).mean() if random.random() < 0.5 else loss


OTHER = nn.Linear(CLASSES, CLASSES)


def through_another_network(model, batch):
    return F.cross_entropy(OTHER(model(batch[0])), batch[1])


def carried(kept):
    def loss_of(model, batch):
        out, kept["hidden"] = model(batch[0], kept.get("hidden"))
        kept["hidden"] = kept["hidden"].detach()
        return F.cross_entropy(out[:, 0], batch[1])

    return loss_of


def disturbed_weights(model, batch):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-3)
    return functional(model, batch)


REFUSED = {
    "numpy": (through_numpy, mlp, tuples, "A tensor takes part that is another one in each step"),
    "a number read from the batch": (by_a_number, mlp, tuples, "reads numbers out of tensors"),
    "a decision": (by_a_decision, mlp, tuples, "looks at the values of a tensor to decide"),
    "a gradient of its own making": (own_gradient, mlp, tuples, "a gradient of its own making"),
    "chance": (by_chance, mlp, tuples, "does not compute the loss in the same way in each step"),
    "another network": (through_another_network, mlp, tuples, "Parameters take part that do not belong to the model"),
    "state between batches": (carried({}), Characters, tokens, "hands a tensor from one step on to the next"),
    "changed weights": (disturbed_weights, mlp, tuples, "changes weights before it computes the loss"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repeated_is_said(name):
    loss_of, build, wrap, reason = REFUSED[name]
    training = watched(loss_of, build, wrap)
    assert training.tape is None
    assert reason in training.recorded.reason
    with (
        isolated(training) as copied,
        pytest.raises(ExperimentError, match="was watched, but cannot be repeated") as said,
    ):
        copied.loss(batch_of(wrap, ITEMS))
    assert "step=" in str(said.value)


def test_batches_from_elsewhere_are_said():
    model = mlp()
    training = trained(
        model, lambda m, o, batch: functional(m, batch).backward(), given=DataLoader(blobs(), batch_size=4)
    )
    assert "do not come from train_loader" in training.recorded.reason


def test_before_any_step_nothing_is_known():
    training = watched(functional, mlp, tuples, steps=0)
    with isolated(training) as copied, pytest.raises(ExperimentError, match="not known how the loss is computed"):
        copied.loss(batch_of(tuples, ITEMS))


def test_a_batch_without_the_part_is_said():
    training = watched(from_a_dict, Dictionary, lambda x, y: {"x": x, "y": y})
    with isolated(training) as copied, pytest.raises(ExperimentError, match=r"Your loop takes batch\['y'\]"):
        copied.loss({"x": torch.zeros(2, FEATURES)})


def test_a_large_tensor_that_is_gone_is_said():
    tables = [torch.randn(CLASSES, 5000)]

    def looked_up(model, batch):
        return F.cross_entropy(model(batch[0] + tables[0][batch[1], :FEATURES]), batch[1])

    training = watched(looked_up, mlp, tuples)
    assert training.tape is not None
    with isolated(training) as copied:
        copied.loss(batch_of(tuples, ITEMS))
        tables.clear()
        gc.collect()
        with pytest.raises(ExperimentError, match="a large tensor that does not exist any more"):
            copied.loss(batch_of(tuples, ITEMS))
