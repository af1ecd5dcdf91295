from html import escape

import ipywidgets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn

import nn_inspector as nni
from nn_inspector.panels import (
    activation_histogram,
    gradient_flow,
    gradient_norm,
    learning_rate,
    predictions,
    speed,
    update_ratio,
)
from nn_inspector.panels.chart_image import draw, png
from nn_inspector.panels.chart_view import chart_view
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.distribution import OCTAVES, fold, ticks
from nn_inspector.panels.drawn_curves import decades
from nn_inspector.panels.layers import UNFOLDS, norms
from nn_inspector.panels.loss import MOST_POINTS
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.static_twin import static_html
from nn_inspector.probes import Measurement
from nn_inspector.stats import BINS, summarize
from tests.panels.runs import EMPTY, run_of, trained
from tests.trainings import blobs, classifier


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


WITHOUT = {"nonfinite_map", "metrics", "regularization", "attention_entropy", "hidden_norm", "clipping"}
"""The training is sound, logs nothing, does not decay or clip, and has no such layers."""


@pytest.fixture(scope="module")
def in_full():
    return trained(probes="full")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_draws_a_training_live_and_static(panel, in_full):
    chart = panel.picture(in_full.run, Selection())
    assert chart.empty == (panel.name in WITHOUT)
    assert chart.note or not chart.empty, "it says why it is empty"
    assert chart.x_label
    assert chart.y_label
    widget = chart_view(chart)
    for mark in getattr(widget.children[1], "marks", ()):
        assert mark.x.dtype == mark.y.dtype == np.float64
        assert not np.isinf(mark.x).any()
        assert not np.isinf(mark.y).any()
        assert np.asarray(mark.y).size <= 20 * MOST_POINTS
    assert png([(panel.title, chart)]).startswith(b"\x89PNG")


@pytest.mark.parametrize("panel", [one for one in PANELS if one.name not in WITHOUT], ids=lambda panel: panel.name)
def test_every_panel_says_what_both_axes_are_live_and_static(panel, in_full):
    chart = panel.picture(in_full.run, Selection())
    axes = Figure().subplots()
    draw(axes, chart)
    assert axes.get_ylabel() == chart.y_label
    assert axes.get_xlabel().startswith(chart.x_label)
    widget = chart_view(chart)
    if isinstance(widget, ChartWidget):
        assert widget.children[1].axes[0].label == chart.x_label
    assert escape(chart.y_label) in "".join(part.value for part in widget.children if isinstance(part, ipywidgets.HTML))


def test_gradients_by_layer_are_norms_over_their_parameters():
    case = classifier()
    x, y = blobs(16).tensors
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()
    expected = {
        name: torch.cat([p.grad.flatten() for p in case.model[int(name)].parameters()]).norm().item() for name in "02"
    }
    assert norms(inspector.run, "gradient_norm")[1] == pytest.approx(expected, rel=1e-5)
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


def test_the_static_twin_in_the_middle_of_a_training_shows_it_so_far_and_leaves_it_as_it_is():
    losses = []
    for twins in (False, True):
        case = classifier()
        with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
            for step, (inputs, target) in enumerate(case.train_loader):
                case.optimizer.zero_grad()
                loss = case.loss_fn(case.model(inputs), target)
                losses.append(loss.item())
                if twins and step == 3:
                    html = static_html(inspector.run, Selection())
                    assert ">3</td>" in html, "the step that is being made is not complete"
                    assert "at step 2" in html
                loss.backward()
                case.optimizer.step()
    half = len(losses) // 2
    assert losses[:half] == losses[half:]


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
