import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from nn_inspector.checks.train.trend import block_medians, jumps, mann_kendall, theil_sen

NUMBERS = st.floats(-1e3, 1e3).map(lambda number: round(number, 3))
SERIES = arrays(np.float64, st.integers(3, 40), elements=NUMBERS)


@given(SERIES)
def test_the_slope_agrees_with_scipy(values):
    assert theil_sen(values) == pytest.approx(stats.theilslopes(values)[0], abs=1e-9)


@given(SERIES)
def test_the_trend_has_the_sign_and_the_strength_of_kendalls_tau(values):
    tau = stats.kendalltau(np.arange(len(values)), values).statistic
    z = mann_kendall(values)
    assert z == 0 or np.sign(z) == np.sign(tau)
    if len(np.unique(values)) == len(values):
        n = len(values)
        score = tau * n * (n - 1) / 2
        expected = (score - np.sign(score)) / np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        assert z == pytest.approx(expected, abs=1e-6)


@given(SERIES, st.floats(0.1, 10), st.floats(-100, 100))
def test_scale_and_level_do_not_matter_to_the_trend(values, factor, offset):
    moved = np.round(values * 1000) * factor + offset
    assert mann_kendall(moved) == pytest.approx(mann_kendall(np.round(values * 1000)), abs=1e-6)


@given(SERIES)
def test_backwards_is_the_opposite(values):
    assert mann_kendall(values[::-1]) == pytest.approx(-mann_kendall(values), abs=1e-9)
    assert theil_sen(values[::-1]) == pytest.approx(-theil_sen(values), abs=1e-9)


@given(SERIES, st.integers(1, 60))
def test_medians_of_blocks_lie_within_the_values(values, blocks):
    medians = block_medians(values, blocks)
    assert len(medians) == min(blocks, len(values))
    assert values.min() <= medians.min()
    assert medians.max() <= values.max()


@given(SERIES)
def test_one_block_is_the_median_and_one_for_each_point_are_the_points(values):
    assert block_medians(values, 1)[0] == np.median(values)
    assert np.array_equal(block_medians(values, len(values)), values)


@pytest.mark.parametrize(
    ("values", "sign"),
    [
        (np.linspace(2, 1, 30), -1),
        (np.linspace(1, 2, 30), 1),
        (np.full(30, 1.5), 0),
        (np.array([]), 0),
        (np.array([1.0]), 0),
        (np.full(5, np.nan), 0),
        (np.concatenate([np.linspace(2, 1, 20), [np.nan, np.inf]]), -1),
    ],
)
def test_unusual_series_have_a_trend_too(values, sign):
    assert np.sign(mann_kendall(values)) == sign
    assert np.sign(theil_sen(values)) == sign


def test_noise_has_no_trend():
    scores = [mann_kendall(np.random.default_rng(seed).normal(size=20)) for seed in range(500)]
    assert np.mean(np.abs(scores) > 1.96) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(
    ("series", "found"),
    [
        (np.ones(50), []),
        (np.exp(-np.arange(50) / 10), []),
        (np.r_[np.ones(30), 30.0, np.ones(10)], [30]),
        (np.r_[np.exp(-np.arange(40) / 40), 2.0, 2.0], [40, 41]),
        (np.random.default_rng(0).lognormal(0, 0.3, 300), []),
        (np.r_[np.ones(30), np.nan, np.ones(5)], []),
        (np.array([1.0, 5.0]), []),
        (-np.ones(30), []),
    ],
    ids=["flat", "falling", "a spike", "a collapse", "noise", "not finite", "short", "below zero"],
)
def test_jumps_stand_out_on_a_logarithmic_scale(series, found):
    assert jumps(series, sigmas=6).tolist() == found
