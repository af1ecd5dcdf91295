"""What the trace says of the losses that were called, and of the objective."""

import pytest
import torch
import torch.nn.functional as F

from nn_inspector.probes import LossCall
from nn_inspector.probes.loss_numbers import loss_numbers
from tests.probes.traces import facts, step_of, traced, usual
from tests.trainings import CLASSES


def test_numbers_of_prediction_and_target():
    trace = traced(step_of(lambda c, x, y: F.cross_entropy(F.softmax(c.model(x), -1), y, weight=torch.ones(CLASSES))))
    found = facts(trace, "cross_entropy")[0]
    assert found["weighted"] is True
    assert found["result_shape"] == []
    assert 1 < found["value"] < 2
    assert 0 <= found["prediction_low"] < found["prediction_mean"] < found["prediction_high"] <= 1
    assert found["prediction_mean"] == pytest.approx(1 / CLASSES)
    assert found["prediction_spread"] > 0
    assert found["prediction_finite"] is found["target_finite"] is True
    assert (found["target_low"], found["target_high"]) == (0, CLASSES - 1)
    assert (found["target_whole"], found["target_distinct"], found["same_shape"]) == (True, CLASSES, False)
    assert found["prediction_origin"] == ["softmax:1", "linear"]
    assert found["rows_sum_mean"] == pytest.approx(1)
    assert found["rows_sum_off"] < 1e-5
    assert found["sums_to_one"] == [1]
    assert 0 < found["between_items"] < 1
    assert facts(trace, "backward")[0]["origin"] == ["cross_entropy"]


@pytest.mark.parametrize(("dim", "shape", "axes"), [(1, (2, 4, 3), [1]), (2, (2, 4, 3), [2]), (0, (2, 4), [0])])
def test_logarithms_add_up_along_the_axis_of_their_softmax(dim, shape, axes):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(shape[:1] + shape[2:], dtype=torch.long)
    for prediction, wanted in ((scores.log_softmax(dim), axes), (scores, [])):
        call = LossCall("nll_loss", prediction, target, {}, prediction.mean())
        assert loss_numbers(call)["sums_to_one"] == wanted


def test_numbers_that_are_not_finite_and_targets_that_are_not_whole():
    def loss(c, x, y):
        return F.mse_loss(c.model(x) * torch.tensor([1.0, 1.0, 1.0, float("inf")]), F.one_hot(y, CLASSES) + 0.5)

    found = facts(traced(step_of(loss), steps=1), "mse_loss")[0]
    assert found["prediction_finite"] is False
    assert found["prediction_high"] < 100
    assert (found["target_whole"], found["target_distinct"], found["same_shape"]) == (False, 2, True)
    assert found["value"] == float("inf")


@pytest.mark.parametrize(
    ("change", "sign", "names"),
    [
        (lambda loss: loss, 1, ["cross_entropy"]),
        (lambda loss: loss / 4, 1, ["div", "cross_entropy"]),
        (lambda loss: -loss, -1, ["neg", "cross_entropy"]),
        (lambda loss: -0.5 * loss, -1, ["mul", "cross_entropy"]),
        (lambda loss: -loss.neg(), 1, ["neg", "neg", "cross_entropy"]),
        (lambda loss: loss + 1, 0, ["add", "cross_entropy"]),
        (lambda loss: loss.square(), 0, ["pow", "cross_entropy"]),
    ],
)
def test_the_sign_of_the_objective(change, sign, names):
    trace = traced(step_of(lambda c, x, y: change(F.cross_entropy(c.model(x), y))), steps=1)
    found = facts(trace, "backward")[0]
    assert (found["sign"], found["origin"]) == (sign, names)
    assert found["value"] is not None


def test_the_sign_of_a_loss_that_the_loop_reduces():
    def loss(c, x, y):
        return -F.cross_entropy(c.model(x), y, reduction="none").mean()

    assert facts(traced(step_of(loss), steps=1), "backward")[0]["sign"] == -1


def test_the_costly_facts_end_after_three_steps():
    trace = traced(usual, steps=6)
    assert ["value" in facts(trace, "backward", step)[0] for step in range(6)] == [True] * 3 + [False] * 3
    assert ["prediction_mean" in facts(trace, "cross_entropy", step)[0] for step in range(5)] == [True] * 3 + [
        False
    ] * 2


def test_what_a_loss_that_compares_is_told_of_each_pair():
    def pairs(c, x, y):
        output = c.model(x)
        return F.cosine_embedding_loss(output, output.roll(1, 0), (y > 0).long())

    found = facts(traced(step_of(pairs), steps=1), "cosine_embedding_loss")[0]
    items, outputs = found["prediction_shape"]
    assert (found["sign_shape"], found["sign_dtype"], found["sign_distinct"]) == ([items], "torch.int64", 2)
    assert (found["sign_low"], found["sign_high"], found["sign_whole"]) == (0.0, 1.0, True)
    assert found["target_shape"] == [items, outputs]


def test_losses_with_a_target_have_no_sign():
    assert not [name for name in facts(traced(usual, steps=1), "cross_entropy")[0] if name.startswith("sign")]
