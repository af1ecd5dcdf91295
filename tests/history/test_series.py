import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_inspector.history.memory import BUCKETS, HEAD, RECENT, SeriesStore


def filled(values):
    store = SeriesStore()
    for step, value in enumerate(values):
        store.append(step, value)
    return store


@given(st.lists(st.floats(-100, 100), max_size=40), st.integers(0, 30_000))
@settings(deadline=None, max_examples=25)
def test_nothing_is_counted_twice_or_lost(start, more):
    values = np.concatenate([start, np.sin(np.arange(more))])
    series = filled(values).view()
    assert series.total == len(values)
    if len(values):
        assert series.mean == pytest.approx(values.mean())
        assert series.low.min() == values.min()
        assert series.high.max() == values.max()
        assert (np.diff(series.steps) > 0).all()


def test_first_and_latest_are_exact_and_the_rest_is_bounded():
    values = np.random.default_rng(0).normal(size=100_000)
    series = filled(values).view()
    assert series.values[:HEAD].tolist() == values[:HEAD].tolist()
    assert series.values[-RECENT:].tolist() == values[-RECENT:].tolist()
    assert len(series) <= HEAD + BUCKETS + 1 + 2 * RECENT


def test_vectors_keep_their_width():
    series = filled([np.array([step, 2.0 * step]) for step in range(5000)]).view()
    assert series.values.shape[1:] == (2,)
    assert series.values[-1].tolist() == [4999.0, 9998.0]


@pytest.mark.parametrize("many", [1, 500])
def test_vectors_of_another_length_begin_the_series_anew(many):
    store = filled([np.zeros(3)] * many)
    store.append(many, np.ones(5))
    assert store.view().values.tolist() == [[1.0] * 5]
    assert store.last()[0] == many


def test_what_is_not_finite_stays_visible_in_a_bucket():
    values = np.zeros(20_000)
    values[5000] = np.nan
    assert np.isnan(filled(values).view().values).sum() == 1


@pytest.mark.parametrize("step", [0, 50, HEAD + 3, 2500, 4999, 10**6])
def test_the_value_at_a_step_is_the_latest_known_then(step):
    store = filled(np.arange(5000.0))
    known = store.at(step)
    assert known is not None
    assert known <= min(step, 4999)
    assert known >= min(step, 4999) - 64


def test_before_the_first_value_there_is_none():
    store = SeriesStore()
    assert store.at(3) is None
    assert store.last() is None
    store.append(5, 1.0)
    assert store.at(4) is None
    assert len(SeriesStore().view()) == 0
