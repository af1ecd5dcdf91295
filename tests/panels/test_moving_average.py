"""The moving average, against the recursion that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn_inspector.panels.moving_average import KEPT, moving_average

VALUES = st.floats(-1e30, 1e30) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])
POINTS = st.lists(st.tuples(st.integers(1, 3000), VALUES), max_size=70)


def one_by_one(steps, values):
    total, weight, last = 0.0, 0.0, 0
    for step, value in zip(steps, values, strict=True):
        kept, last = KEPT ** max(step - last, 1), step
        if np.isfinite(value):
            total, weight = kept * total + (1 - kept) * value, kept * weight + (1 - kept)
        yield total / weight if weight else np.nan


@given(POINTS)
def test_it_is_the_recursion(points):
    steps = np.cumsum([gap for gap, _ in points], dtype=np.int64) - 1
    values = np.array([value for _, value in points], dtype=np.float64)
    finite = np.abs(values[np.isfinite(values)])
    expected = list(one_by_one(steps.tolist(), values))
    assert moving_average(steps, values) == pytest.approx(expected, abs=1e-12 * finite.max(initial=0.0), nan_ok=True)


def test_a_million_steps_neither_overflow_nor_are_forgotten():
    steps = np.arange(0, 1_000_000, 400)
    average = moving_average(steps, np.where(steps < 500_000, 3.0, 1e300))
    assert average[steps < 500_000] == pytest.approx(3.0)
    assert average[steps > 501_000] == pytest.approx(1e300)
