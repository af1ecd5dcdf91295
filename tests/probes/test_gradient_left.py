"""How much of the gradient is left between backward() and the step."""

import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import blobs, mlp

X, Y = blobs(32).tensors


def left(loop, optimizer=None):
    """What was measured while a loop ran: of (model, optimizer, loss), returning what it should be at each step."""
    model = mlp()
    optimizer = optimizer(model) if optimizer is not None else torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1, probes=["zeroing"]) as inspector:
        expected = loop(model, optimizer, lambda part: nn.functional.cross_entropy(model(X[part]), Y[part]))
    assert inspector.problems == []
    return inspector.run.series("gradient_left", "optimizer 0"), expected


def clipped(limit, *, accumulated=1, set_to_none=True):
    def loop(model, optimizer, loss):
        expected = []
        for _ in range(4):
            optimizer.zero_grad(set_to_none=set_to_none)
            for part in range(accumulated):
                loss(slice(part, 32, accumulated)).backward()
            norm = float(nn.utils.clip_grad_norm_(model.parameters(), limit))
            expected.append(min(1.0, limit / norm))
            optimizer.step()
        return expected

    return loop


@pytest.mark.parametrize("limit", [0.05, 1e6])
@pytest.mark.parametrize("accumulated", [1, 3])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_it_is_what_clipping_by_the_norm_leaves(limit, accumulated, set_to_none):
    series, expected = left(clipped(limit, accumulated=accumulated, set_to_none=set_to_none))
    assert series.steps.tolist() == [1, 2, 3], "the witness is chosen at the first step"
    assert series.values == pytest.approx(expected[1:], rel=1e-3)


def test_of_gradients_that_are_used_as_they_are_all_is_left_also_with_a_closure():
    def loop(model, optimizer, loss):
        def closure():
            optimizer.zero_grad()
            value = loss(slice(None))
            value.backward()
            return value

        for _ in range(3):
            optimizer.step(closure)

    for optimizer in (torch.optim.SGD, torch.optim.LBFGS):
        series, _ = left(loop, lambda model, kind=optimizer: kind(model.parameters(), lr=0.01))
        assert series.values == pytest.approx([1.0] * len(series), rel=1e-5)
        assert len(series)


def test_a_gradient_of_zero_says_nothing():
    def loop(model, optimizer, loss):
        for _ in range(3):
            optimizer.zero_grad()
            (0.0 * loss(slice(None))).backward()
            optimizer.step()

    series, _ = left(loop)
    assert not (series.values <= 1).any()
