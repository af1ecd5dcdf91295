"""A table of measurements is kept as its measurements would be one by one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn_inspector.history import Run, open_run
from nn_inspector.history.memory import RECENT
from nn_inspector.history.nonfinite import NonfiniteFinder
from nn_inspector.probes import Measurement, MeasurementTable, one_by_one
from tests.history.files import assert_same_array

NORMS = ("weight_norm", "update_norm")
HISTOGRAMS = ("weight_histogram", "gradient_histogram")
LAYERS = ("a", "b", "c")


def table(step, quantities=NORMS, sources=LAYERS, width=None, seed=0):
    shape = (len(quantities), len(sources), *([] if width is None else [width]))
    return MeasurementTable(step, quantities, sources, np.random.default_rng([seed, step]).normal(size=shape))


def assert_same_runs(run, expected):
    assert run._memory.names() == expected._memory.names()
    for quantity, source in expected._memory.names():
        one, other = run.series(quantity, source), expected.series(quantity, source)
        for name in ("steps", "low", "high", "counts"):
            assert_same_array(getattr(one, name), getattr(other, name))
        np.testing.assert_allclose(
            one.values, other.values, rtol=1e-12, atol=1e-15
        )  # means are added up in another order
        assert_same_array(run.last_vector(quantity, source), expected.last_vector(quantity, source))
    for step in (-1, 0, run.steps // 2, run.steps):
        for key, value in expected.at(step).items():
            np.testing.assert_allclose(run.at(step)[key], value, rtol=1e-12, atol=1e-15)
        assert run.at(step).keys() == expected.at(step).keys()


def recorded(measured, *, apart):
    run = Run("a", {})
    for one in measured:
        run.record(one_by_one([one]) if apart else [one])
        run.steps = one.step + 1
    return run


def assert_kept_alike(measured):
    assert_same_runs(recorded(measured, apart=False), recorded(measured, apart=True))


@pytest.mark.parametrize("width", [None, 5])
@pytest.mark.parametrize("steps", [1, 40, 3 * RECENT])
def test_a_table_is_kept_as_its_measurements(steps, width):
    assert_kept_alike([table(step, NORMS if width is None else HISTOGRAMS, width=width) for step in range(steps)])


@given(st.lists(st.sampled_from(["abc", "ab", "cd", "aa", "e", "one"]), max_size=30))
@settings(deadline=None, max_examples=60)
def test_layers_that_take_turns(turns):
    measured = []
    for step, turn in enumerate(turns):
        one = Measurement(step, "weight_norm", "a", float(step))
        measured.append(one if turn == "one" else table(step, sources=tuple(turn)))
    assert_kept_alike(measured)


@pytest.mark.parametrize("width", [None, 5])
def test_a_layer_that_leaves_early_is_measured_on(width):
    """Before the first exact values are full, and long after."""
    what = NORMS if width is None else HISTOGRAMS
    before = [table(step, what, width=width) for step in range(3)]
    after = [table(step, what, ("a", "c"), width=width) for step in range(3, 400)]
    assert_kept_alike(before + after)


def test_a_layer_that_leaves_late():
    before = [table(step) for step in range(2 * RECENT)]
    after = [table(step, sources=("a", "c")) for step in range(2 * RECENT, 4 * RECENT)]
    assert_kept_alike(before + after)


def test_vectors_of_another_length_begin_the_series_anew():
    assert_kept_alike([table(step, HISTOGRAMS, width=3 if step < 50 else 4) for step in range(52)])


def test_what_is_not_finite_stays_visible():
    measured = [table(step) for step in range(3 * RECENT)]
    measured[500].values[1, 2] = math.nan
    measured[501].values[0, 0] = math.inf
    run = recorded(measured, apart=False)
    assert np.isnan(run.series("update_norm", "c").values).sum() == 1
    assert np.isinf(run.series("weight_norm", "a").values).sum() == 1
    assert np.isfinite(run.series("weight_norm", "b").values).all()


def test_a_table_without_sources_is_nothing():
    run = recorded([table(0, sources=())], apart=False)
    assert run.quantities() == []


def test_a_table_is_written_to_the_file(tmp_path):
    run = Run("a", {})
    run.write_to(tmp_path / "a.sqlite", pytest.fail)
    run.record([table(0), table(1), table(1, HISTOGRAMS, width=5)])
    run.steps = 2
    run.close()
    read = open_run(tmp_path / "a.sqlite")
    assert read.series("update_norm", "b").values.tolist() == run.series("update_norm", "b").values.tolist()
    assert read.series("weight_histogram", "c").values.shape == (1, 5)
    read.close()


@pytest.mark.parametrize(
    ("quantity", "wrong", "where"),
    [
        ("weight_norm", math.nan, "weight"),
        ("gradient_norm", -math.inf, "gradient"),
        ("activation_nonfinite", 0.1, "forward"),
    ],
)
def test_the_first_that_is_not_finite_is_found_in_a_table(quantity, wrong, where):
    measured = [table(step, quantities=("activation_mean", quantity)) for step in range(4)]
    for one in measured:
        one.values[:] = 0.0
    finder = NonfiniteFinder()
    for one in measured[:3]:
        finder.add([one])
    assert finder.answer is None
    measured[3].values[1, 1:] = wrong
    finder.add([measured[3]])
    assert (finder.answer.step, finder.answer.where, finder.answer.source) == (3, where, "b")
    assert finder.answer.before[0].numbers["mean"] == 0.0


def test_what_has_no_place_among_the_causes_may_be_anything():
    finder = NonfiniteFinder()
    finder.add([MeasurementTable(0, ("update_ratio",), LAYERS, np.full((1, 3), np.nan))])
    finder.add([MeasurementTable(0, ("loss",), ("validation",), np.full((1, 1), np.nan))])
    assert finder.answer is None
