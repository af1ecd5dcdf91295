"""The widget of a chart: its axes and ticks, its marks and its legend."""

import bqplot
import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.history import Chart, Curve, curve, row_labels
from nn_inspector.panels import gradient_flow, loss, nonfinite_map
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.distribution import ticks
from nn_inspector.panels.looks import look_of, sign_of
from nn_inspector.panels.panel import Selection
from tests.panels.runs import EMPTY, run_of, trained


def test_a_band_or_a_level_at_zero_has_a_place_on_a_logarithmic_axis():
    series = {"loss": curve([10.0, 1000.0])}
    chart = Chart("lines", "step", "loss", series, log=True, band=(0.0, 100.0, "usual"), levels={"nothing": 0.0})
    widget = ChartWidget(chart)
    assert np.array(widget._band.y).tolist() == [[1.0, 1.0], [2.0, 2.0]]
    assert not widget._levels.visible


def test_a_chart_is_updated_in_place():
    widget = ChartWidget(nni.Chart("lines", "step", "loss", {"a": curve([])}))
    marks = list(widget.children[1].marks)
    widget.update(nni.Chart("lines", "step", "loss", {"a": curve([1.0, 2.0]), "b": curve([2.0, 3.0])}))
    assert widget.children[1].marks == marks
    assert [mark.y.tolist() for mark in widget._marks if mark.visible] == [[1.0, 2.0], [2.0, 3.0]]
    widget.update(nni.Chart("lines", "step", "loss", {"a": curve([1.0, 0.0, 10.0])}, log=True))
    (shown,) = [mark for mark in widget._marks if mark.visible]
    assert shown.y == pytest.approx([0, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize("powers", [1, 2, 8, 9, 40])
def test_ticks_of_a_logarithmic_axis_are_few(powers):
    shown = ChartWidget(Chart("lines", "step", "loss", {"train": curve([1.0, 10.0**powers])}, log=True))
    ticks = shown._axes.y.tick_values
    assert 2 <= len(ticks) <= 9
    assert ticks[0] == 0
    assert len(set(np.diff(ticks))) == 1


@pytest.mark.parametrize(
    ("losses", "log", "said"), [([2.2e33, 1.0], False, ["0", "2e+33"]), ([1.0, 1e-34], True, ["1e-34", "1"])]
)
def test_long_numbers_beside_remarks_do_not_touch(losses, log, said):
    labels, remarks = row_labels(["first", "second"]), ("said 1, true 2",) * 2
    chart = Chart("rows", "loss", "item", {"loss": curve(losses, "marks")}, labels, remarks=remarks, log=log)
    assert list(ChartWidget(chart)._axes.x.tick_labels.values()) == said


@pytest.mark.parametrize("steps", [1, 3, 17, 400, 1_200, 123_456, 1_000_000])
def test_ticks_of_steps_are_few_and_round(steps):
    shown = ChartWidget(Chart("lines", "step", "loss", {"train": curve(np.ones(2))}))
    shown.update(Chart("lines", "step", "loss", {"train": Curve(np.array([0.0, steps]), np.ones(2))}))
    ticks = shown._axes.x.tick_values
    assert ticks[0] == 0
    assert 0 < ticks[-1] <= steps
    assert 2 <= len(ticks) <= 7
    assert set(ticks) == {round(tick) for tick in ticks}


def test_a_single_step_has_an_axis_to_lie_on():
    shown = ChartWidget(loss.picture(run_of("loss", [2.0]), Selection()))
    assert (shown._axes.x.scale.min, shown._axes.x.scale.max) == (0.0, 1.0)
    shown.update(loss.picture(run_of("loss", [2.0, 1.0, 0.5]), Selection()))
    assert (shown._axes.x.scale.min, shown._axes.x.scale.max) == (0.0, None)


@pytest.mark.parametrize("log", [True, False])
def test_what_is_not_finite_has_no_marker(log):
    values = np.array([1.0, np.inf, np.nan, 2.0])
    labels = ((0.0, "a"), (1.0, "b"), (2.0, "c"), (3.0, "d"))
    shown = ChartWidget(Chart("rows", "norm", "", {"now": curve(values, "points")}, labels, log=log))
    marks = [mark for mark in shown._marks if mark.visible]
    assert [mark.y.tolist() for mark in marks] == [[0.0, 3.0]]
    assert all(np.isfinite(mark.x).all() for mark in marks)
    shown.update(Chart("rows", "norm", "", {"now": curve(np.full(4, np.inf), "points")}, labels, log=log))
    assert shown._figure.layout.visibility == "hidden"


def test_a_panel_that_has_nothing_to_show_takes_little_room_once_there_are_steps():
    widget = ChartWidget(nonfinite_map.picture(EMPTY, Selection()))
    room = widget._figure.layout.height
    widget.update(nonfinite_map.picture(trained().run, Selection()))
    assert int(widget._figure.layout.height.removesuffix("px")) < 70 < int(room.removesuffix("px"))
    widget.update(gradient_flow.picture(trained().run, Selection()))
    assert widget._figure.layout.height == room


def test_rows_run_from_top_to_bottom():
    chart = nni.Chart("rows", "x", "", {"now": curve([1.0, 10.0], "points")}, row_labels(["first", "second"]), log=True)
    widget = ChartWidget(chart)
    assert widget.children[1].axes[1].scale.reverse
    assert widget.children[1].axes[1].tick_labels == {"0": "first", "1": "second"}
    assert (widget.children[1].axes[0].scale.min, widget.children[1].axes[0].scale.max) == (0.0, 1.0)


def test_tick_texts_arrive_before_their_positions_and_cover_the_earlier_ones():
    """bqplot draws new positions with the texts it knows, and may stay with that."""
    charts = [nni.Chart("bars", "x", "", {"now": curve(np.ones(29))}, ticks(top)) for top in (38, 50)]
    widget = ChartWidget(charts[0])
    axis, changes = widget.children[1].axes[0], []
    axis.observe(lambda change: changes.append(change.name), ["tick_labels", "tick_values"])
    widget.update(charts[1])
    assert changes == ["tick_labels", "tick_values"]
    assert {text for _, text in ticks(38)} <= set(axis.tick_labels.values())
    assert all(str(float(position)).removesuffix(".0") in axis.tick_labels for position in axis.tick_values)


def test_the_legend_tells_curves_apart_without_colour():
    chart = loss.picture(trained().run, Selection())
    legend = ChartWidget(chart).children[0].value
    for name in chart.series:
        assert sign_of(look_of(chart, name)) in legend


def test_the_first_step_alone_is_seen_as_a_dash_with_its_levels_across():
    curve = Curve(np.array([0.0]), np.array([2.3]))
    widget = ChartWidget(Chart("lines", "step", "loss", {"train": curve}, levels={"chance": 2.0}))
    lines = [mark for mark in widget.children[1].marks if isinstance(mark, bqplot.Lines) and mark.visible]
    line, level = sorted(lines, key=lambda mark: float(np.ptp(mark.x)))
    assert np.ravel(line.x).tolist() == [0.0, 0.1]
    assert np.ravel(line.y).tolist() == [2.3, 2.3]
    assert np.ravel(level.x).tolist() == [0.0, 1.0]
