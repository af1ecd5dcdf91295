import bqplot
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import nn_inspector as nni
from nn_inspector.history import Chart, Curve, curve, earlier, row_labels
from nn_inspector.panels import (
    activation_histogram,
    gradient_flow,
    gradient_norm,
    learning_rate,
    loss,
    nonfinite_map,
    predictions,
    speed,
    update_ratio,
)
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.chart_view import chart_view
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.panels.distribution import OCTAVES, fold, ticks
from nn_inspector.panels.drawn_curves import decades
from nn_inspector.panels.layers import UNFOLDS, norms
from nn_inspector.panels.looks import look_of, sign_of
from nn_inspector.panels.loss import MOST_POINTS, decimate, smoothed
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.static_twin import static_html
from nn_inspector.probes import Measurement
from nn_inspector.stats import BINS, summarize
from tests.trainings import blobs, classifier

EMPTY = nni.Run("empty", {"model": "Sequential", "modules": {}})


def trained(epochs=4, probes="standard", **options):
    case = classifier(**options)
    objects = case.model, case.optimizer, case.loss_fn
    with nni.watch(*objects, train_loader=case.train_loader, every=1, probes=probes) as inspector:
        case.run(epochs)
    return inspector


def run_of(quantity, values, source="train"):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(step, quantity, source, float(value)) for step, value in enumerate(values)])
    return run


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_before_the_first_step_every_panel_is_empty_and_says_so(panel):
    chart = panel.picture(EMPTY, Selection())
    assert chart.empty
    widget = chart_view(chart)
    assert "No step yet." in widget.children[0].value
    assert widget.children[1].layout.visibility == "hidden"
    assert not any(axis.visible for axis in getattr(widget.children[1], "axes", ()))
    assert png([(panel.title, chart)]).startswith(b"\x89PNG")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_says_what_is_healthy_in_one_line(panel):
    assert panel.healthy.startswith("Healthy: ")
    assert len(panel.healthy) < 115


WITHOUT = {"nonfinite_map", "metrics", "regularization", "attention_entropy", "hidden_norm"}
"""The training is sound, logs nothing, does not decay, and has no such layers."""


@pytest.fixture(scope="module")
def in_full():
    return trained(probes="full")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_draws_a_training_live_and_static(panel, in_full):
    chart = panel.picture(in_full.run, Selection())
    assert chart.empty == (panel.name in WITHOUT)
    assert chart.note or not chart.empty, "it says why it is empty"
    assert chart.x_label
    widget = chart_view(chart)
    for mark in getattr(widget.children[1], "marks", ()):
        assert mark.x.dtype == mark.y.dtype == np.float64
        assert not np.isinf(mark.x).any()
        assert not np.isinf(mark.y).any()
        assert np.asarray(mark.y).size <= 20 * MOST_POINTS
    assert png([(panel.title, chart)] * 3).startswith(b"\x89PNG")


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


def test_gradients_by_layer_are_norms_over_their_parameters():
    case = classifier()
    x, y = blobs(16).tensors
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()
    expected = {
        name: torch.cat([p.grad.flatten() for p in case.model[int(name)].parameters()]).norm().item() for name in "02"
    }
    assert norms(inspector.run, "gradient_norm", lambda values: values[-1]) == pytest.approx(expected, rel=1e-5)
    chart = gradient_flow.picture(inspector.run, Selection())
    assert [text for _, text in chart.labels] == ["0 Linear", "2 Linear"]


@pytest.mark.parametrize(("steps", "old"), [(400, False), (440, False), (700, True)])
def test_a_picture_of_one_step_says_if_that_is_long_ago(steps, old):
    run = run_of("gradient_norm", np.ones(400), "0.weight")
    run.steps = steps
    panel = next(panel for panel in PANELS if panel.name == "gradient_flow")
    assert ("Measured last at step 399." in panel.chart(run, Selection()).note) == old


def test_a_layer_without_a_gradient_is_named():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        x, y = blobs(16).tensors
        (case.loss_fn(case.model(x), y) * 0).backward()
        case.optimizer.step()
    chart = gradient_flow.picture(inspector.run, Selection())
    assert chart.note == "Gradient is zero in: 0, 2."


def test_many_layers_are_taken_together_by_block():
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(20)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1) as inspector:
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    chart = gradient_flow.picture(inspector.run, Selection())
    assert chart.layers == tuple(str(block) for block in range(20))
    assert chart.note == UNFOLDS
    unfolded = gradient_flow.picture(inspector.run, Selection("3"))
    assert unfolded.layers[2:7] == ("2", "3.0", "3.1", "3.2", "4")
    assert unfolded.chosen == (3, 4, 5)
    assert unfolded.note == ""


def test_a_band_or_a_level_at_zero_has_a_place_on_a_logarithmic_axis():
    series = {"loss": curve([10.0, 1000.0])}
    chart = Chart("lines", "step", "loss", series, log=True, band=(0.0, 100.0, "usual"), levels={"nothing": 0.0})
    widget = ChartWidget(chart)
    assert np.array(widget._band.y).tolist() == [[1.0, 1.0], [2.0, 2.0]]
    assert not widget._levels.visible


def test_the_update_ratio_has_the_usual_band():
    chart = update_ratio.picture(trained().run, Selection())
    assert chart.band == (1e-4, 1e-1, "usual")
    assert decades(chart)[0] <= -4


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=200))
@settings(deadline=None)
def test_folding_a_histogram_loses_nothing(values):
    counts = summarize(torch.tensor(values)).histogram
    used = np.flatnonzero(counts)
    top = max(int(np.abs(used - BINS // 2).max()), OCTAVES)
    folded = fold(counts, top)
    assert len(folded) == 2 * OCTAVES + 1
    assert folded.sum() == counts.sum()


@pytest.mark.parametrize("top", range(OCTAVES, 65, 5))
def test_ticks_stand_at_the_bars_of_their_values(top):
    for position, text in ticks(top):
        counts = fold(summarize(torch.tensor([float(text) * 1.0001])).histogram, top)
        if float(text) and counts.sum():
            assert abs(position - int(counts.argmax())) <= 0.6


def test_the_activation_panel_speaks_of_the_chosen_layer():
    inspector = trained()
    chart = activation_histogram.picture(inspector.run, Selection(layer="1"))
    assert chart.x_label == "output of 1"
    assert "zeros" in chart.note
    assert chart.series["now"].y.sum() == pytest.approx(1)
    assert activation_histogram.picture(inspector.run, Selection(layer="nothing")).empty


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


def test_the_dashboard_follows_the_training_and_its_controls():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        assert "step 0" in dashboard.children[0].children[0].value
        stop, pause = dashboard._steering._stop, dashboard._steering._pause
        assert stop.disabled
        assert pause.disabled
        case.run(1)
        dashboard.refresh()
        assert "step 6" in dashboard.children[0].children[0].value
        assert not stop.disabled
        assert not pause.disabled
        pause.click()
        labels = [button.description for button in dashboard._steering.children]
        assert labels == ["Resume", "One step", "Stop", "Rate ×0.1", "Rate ×0.5", "Rate ×2"]
        dashboard._steering._resume.click()
        assert not inspector.is_paused
        dashboard._layer.name = "0"
        assert dashboard._charts["activation_histogram"]._shown.x_label == "output of 0"
        dashboard._log_loss.value = True
        assert dashboard._charts["loss"]._shown.log
        stop.click()
        with pytest.raises(nni.TrainingStopped):
            case.run(1)
        dashboard.close()
        case.run(1)


def test_the_dashboard_goes_back_in_time_and_returns():
    inspector = trained()
    dashboard = Dashboard(inspector)
    time = dashboard._time
    assert time.slider.max == time.slider.value == inspector.run.steps - 1
    assert time.latest.disabled
    time.slider.value = 5
    chart = dashboard._charts["loss"]._shown
    assert max(chart.series["train, smoothed"].x) == 5
    expected = inspector.run.at(5)["gradient_norm", "2.weight"], inspector.run.at(5)["gradient_norm", "2.bias"]
    assert dashboard._charts["gradient_flow"]._shown.series["now"].y[1] == pytest.approx(np.hypot(*expected))
    dashboard.refresh()
    assert max(dashboard._charts["loss"]._shown.series["train, smoothed"].x) == 5
    assert not time.latest.disabled
    time.latest.click()
    assert time.following
    assert max(dashboard._charts["loss"]._shown.series["train, smoothed"].x) == inspector.run.steps - 1
    dashboard.close()


def test_the_slider_reaches_as_far_as_the_training_has_come():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        case.run(1)
        dashboard.refresh()
        assert dashboard._time.slider.value == 5
        dashboard._time.slider.value = 2
        case.run(1)
        dashboard.refresh()
        assert (dashboard._time.slider.value, dashboard._time.slider.max) == (2, 11)
        dashboard.close()


def test_panels_are_chosen_by_buttons_and_made_when_they_are_first_shown():
    dashboard = Dashboard(trained())
    assert len(dashboard._grid.children) == 4
    buttons = dashboard._choice._buttons
    assert "predictions" not in dashboard._charts
    buttons["predictions"].value = True
    assert len(dashboard._grid.children) == 5
    assert buttons["predictions"].icon == "check"
    assert not dashboard._charts["predictions"]._shown.empty
    buttons["loss"].value = False
    assert len(dashboard._grid.children) == 4
    assert buttons["loss"].icon == ""
    assert "Predictions" in dashboard._twin()
    assert 'alt="Loss' not in dashboard._twin()
    dashboard.close()


def test_the_gradient_norm_is_that_of_all_parameters_together():
    run = nni.Run("made", {"model": "M", "modules": {}})
    run.record([Measurement(step, "gradient_norm", "a.weight", 3.0) for step in (0, 1, 2)])
    run.record([Measurement(step, "gradient_norm", "b.weight", 4.0) for step in (1, 2)])
    run.record([Measurement(3, "gradient_norm", name, np.inf) for name in ("a.weight", "b.weight")])
    total = gradient_norm.total_norm(run)
    assert total.steps.tolist() == [1, 2, 3]
    assert total.values.tolist() == [5.0, 5.0, np.inf]
    assert gradient_norm.picture(run, Selection()).note == "1 norms are NaN or Inf."


def test_a_learning_rate_is_level_between_its_changes():
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(0, "learning_rate", "g", 0.1), Measurement(50, "learning_rate", "g", 0.01)])
    run.steps = 100
    curve_of_group = learning_rate.picture(run, Selection()).series["g"]
    assert curve_of_group.x.tolist() == [0, 50, 50, 100]
    assert curve_of_group.y.tolist() == [0.1, 0.1, 0.01, 0.01]


def test_numbers_are_predicted_with_their_spread():
    run = run_of("prediction_spread", [0.1, 0.2])
    assert predictions.picture(run, Selection()).y_label == "spread within a batch"
    assert predictions.picture(trained().run, Selection()).y_label == "share of the batch"


def test_time_is_shown_in_milliseconds_and_as_steps_and_items_a_second():
    run = run_of("step_seconds", [0.002, 0.002])
    run.parameters = {"model": "M", "loaders": {"train": {"batch_size": 32}}}
    run.record([Measurement(1, "own_seconds", "train", 0.0005), Measurement(1, "memory_bytes", "process", 2.0**30)])
    chart = speed.picture(run, Selection())
    assert chart.series["whole step"].y == pytest.approx([2.0, 2.0])
    assert chart.series["watching"].y == pytest.approx([0.5])
    assert chart.note == "500 steps, 16,000 items a second. Memory in use: 1 GiB."


def test_the_best_validation_is_marked_once_there_are_two():
    run = run_of("loss", [2.0, 1.0])
    run.record([Measurement(10, "loss", "validation", 1.5)])
    assert len(loss.picture(run, Selection()).series) == 3
    run.record(
        [Measurement(step, "loss", "validation", value) for step, value in ((20, 1.25), (30, 1.75), (40, np.nan))]
    )
    best = loss.picture(run, Selection()).series["best validation: 1.25 at step 20"]
    assert (best.x.tolist(), best.y.tolist()) == ([20.0], [1.25])


def test_gradients_of_the_first_the_last_and_the_selected_layer_stand_beside_the_whole():
    names = list(gradient_norm.picture(trained().run, Selection(layer="2")).series)
    assert names == ["each measured step", "all, smoothed", "first layer", "last layer", "2 Linear"]


@pytest.mark.parametrize(("limit", "share"), [(0.1, "100%"), (1e6, "0%")])
def test_how_often_gradients_were_clipped_is_said(limit, share):
    case = classifier()
    x, y = blobs(16).tensors
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        for _ in range(5):
            case.optimizer.zero_grad()
            (100 * case.loss_fn(case.model(x), y)).backward()
            nn.utils.clip_grad_norm_(case.model.parameters(), limit)
            case.optimizer.step()
    said = learning_rate.picture(inspector.run, Selection()).note
    assert said == f"Gradients were clipped to a norm of {limit:.3g} in {share} of the measured steps."
    assert gradient_norm.picture(inspector.run, Selection()).levels == ({"clipped to": limit} if limit < 1 else {})


def test_the_static_twin_shows_numbers_findings_and_pictures_and_no_markup_of_others():
    assert static_html(EMPTY, Selection()) == '<div class="nni-static"></div>'
    inspector = trained()
    inspector.run.add_finding(nni.Finding("initial_loss", "warning", "<script>x</script>"))
    html = static_html(inspector.run, Selection(layer="1"))
    assert 'src="data:image/png;base64,' in html
    assert "<td" in html
    assert "train loss" in html
    assert "<script>" not in html
    assert "http" not in html
    assert len(html) < 400_000


def test_the_first_step_alone_is_seen_as_a_dash_with_its_levels_across():
    curve = Curve(np.array([0.0]), np.array([2.3]))
    widget = ChartWidget(Chart("lines", "step", "loss", {"train": curve}, levels={"chance": 2.0}))
    lines = [mark for mark in widget.children[1].marks if isinstance(mark, bqplot.Lines) and mark.visible]
    line, level = sorted(lines, key=lambda mark: float(np.ptp(mark.x)))
    assert np.ravel(line.x).tolist() == [0.0, 0.1]
    assert np.ravel(line.y).tolist() == [2.3, 2.3]
    assert np.ravel(level.x).tolist() == [0.0, 1.0]
