"""The loss panel: what is drawn of a loss, and how it is smoothed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn_inspector as nni
from nn_inspector.history import earlier
from nn_inspector.panels import loss
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.loss import MOST_POINTS, decimate, smoothed
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement
from tests.panels.runs import EMPTY, run_of, trained


def test_the_loss_panel_shows_chance_of_a_training_of_which_no_check_was_made():
    run = trained().run
    assert not run.findings
    assert loss.picture(run, Selection()).levels["chance"] == pytest.approx(np.log(4), rel=0.02)
    assert loss.picture(earlier(run, 1), Selection()).levels["chance"] == pytest.approx(np.log(4), rel=0.02)
    assert loss.picture(EMPTY, Selection()).levels == {}


@pytest.mark.parametrize(
    ("values", "log", "drawn"),
    [([2.0, 1.0], False, True), ([0.5, 0.4], False, False), ([0.5, 0.4], True, True), ([0.1, 9.0], False, False)],
    ids=["within", "far above", "far above, logarithmic", "above where it is cut"],
)
def test_chance_that_lies_far_above_the_losses_is_said_and_not_drawn(values, log, drawn):
    run = run_of("loss", values)
    run.add_finding(nni.Finding("initial_loss", "ok", "Fine.", {"chance": 2.3}))
    chart = loss.picture(run, Selection(log_loss=log))
    assert chart.levels == ({"chance": 2.3} if drawn else {})
    assert ("Chance would give 2.3, far above the picture." in chart.note) == (not drawn)


def test_values_that_are_not_finite_are_counted_in_words():
    chart = loss.picture(run_of("loss", [1.0, np.nan, np.inf, 2.0]), Selection())
    assert chart.note == "2 values of the loss are NaN or Inf."
    widget = ChartWidget(chart)
    assert not any(np.isinf(mark.y).any() for mark in widget.children[1].marks)


def test_a_loss_that_explodes_is_cut_and_said_so():
    run = run_of("loss", [2.0, 3.0, 1e30, 4.0])
    chart = loss.picture(run, Selection())
    assert chart.top == 10.0
    assert chart.note == "The loss reaches 1e+30; the picture ends at 10. Choose “logarithmic” to see it all."
    assert ChartWidget(chart).children[1].axes[1].scale.max == 10.0
    assert loss.picture(run, Selection(log_loss=True)).top is None
    assert loss.picture(run_of("loss", [2.0, 3.0, 1.0]), Selection()).top is None


@given(st.integers(1, 5000), st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_decimation_is_bounded_and_keeps_the_extremes(points, seed):
    values = np.random.default_rng(seed).normal(size=points)
    series = run_of("loss", values).series("loss", "train")
    thin = decimate(series)
    assert len(thin.x) <= MOST_POINTS + 2
    assert (np.diff(thin.x) >= 0).all()
    assert thin.y.min() == series.low.min()
    assert thin.y.max() == series.high.max()


def test_smoothing_agrees_with_its_formula():
    values = np.random.default_rng(0).normal(size=300)
    expected = [
        sum(0.95 ** (n - k) * values[k] for k in range(n + 1)) / sum(0.95 ** (n - k) for k in range(n + 1))
        for n in range(300)
    ]
    assert smoothed(run_of("loss", values).series("loss", "train")).y == pytest.approx(expected)


def test_on_a_logarithmic_scale_one_huge_value_is_soon_forgotten():
    values = np.full(200, 2.0)
    values[20] = 1e30
    series = run_of("loss", values).series("loss", "train")
    assert smoothed(series).y[-1] > 1e20
    assert 2.0 <= smoothed(series, log=True).y[-1] < 2.1
    assert smoothed(run_of("loss", [2.0, 0.0, -1.0, 8.0]).series("loss", "train"), log=True).y[-1] == pytest.approx(
        4, rel=0.1
    )


def test_the_best_validation_is_marked_once_there_are_two():
    run = run_of("loss", [2.0, 1.0])
    run.record([Measurement(10, "loss", "validation", 1.5)])
    assert len(loss.picture(run, Selection()).series) == 3
    run.record(
        [Measurement(step, "loss", "validation", value) for step, value in ((20, 1.25), (30, 1.75), (40, np.nan))]
    )
    best = loss.picture(run, Selection()).series["best validation: 1.25 at step 20"]
    assert (best.x.tolist(), best.y.tolist()) == ([20.0], [1.25])
