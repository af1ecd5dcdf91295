import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.history import Run
from nn_inspector.probes import Measurement

NOISE = np.random.default_rng(0).normal(size=400)


@pytest.mark.parametrize(
    ("losses", "falling", "rising"),
    [
        (2 - np.arange(400) / 400, True, False),
        (2 - np.arange(400) / 400 + 0.1 * NOISE, True, False),
        (1 + np.arange(400) / 200 + 0.1 * NOISE, False, True),
        (1 + 0.1 * NOISE, False, False),
        (np.r_[np.linspace(2, 0.1, 50), np.full(350, 0.1)], False, False),
        (np.full(10, np.nan), False, False),
        ([], False, False),
        ([2.0, 1.0], False, False),
    ],
    ids=["falls", "falls with noise", "rises", "flat with noise", "done", "nan", "empty", "short"],
)
def test_a_trend_is_called_one_only_when_it_is_sure(losses, falling, rising):
    curve = LossCurve.from_losses(losses)
    assert (curve.falling, curve.rising) == (falling, rising)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=300))
def test_start_end_and_best_lie_within_the_losses(losses):
    curve = LossCurve.from_losses(losses)
    for level in (curve.start, curve.end, curve.best):
        assert min(losses) <= level <= max(losses)
    assert curve.total == len(losses)
    assert not curve.lost


def test_a_loss_is_lost_when_it_stays_so():
    assert LossCurve.from_losses([1.0] * 20 + [np.nan] * 20).lost
    assert not LossCurve.from_losses([1.0] * 20 + [np.inf] + [1.0] * 20).lost
    assert LossCurve.from_losses([1.0] * 20 + [np.nan] * 20).best == 1.0
    assert not LossCurve.from_losses([]).lost


def test_a_long_run_is_read_from_its_buckets_as_from_its_losses():
    losses = 3 * np.exp(-np.arange(20_000) / 5_000) + 0.05 * np.random.default_rng(1).normal(size=20_000)
    run = Run("long", {})
    run.record([Measurement(step, "loss", "train", float(loss)) for step, loss in enumerate(losses)])
    curve, exact = LossCurve.of(run), LossCurve.from_losses(losses)
    assert len(curve.losses) < 3000
    assert curve.total == exact.total
    assert curve.end == pytest.approx(exact.end, abs=0.02)
    assert curve.smooth == pytest.approx(exact.smooth, abs=0.1)
    assert curve.falling
    assert exact.noise() > curve.noise() > 0
