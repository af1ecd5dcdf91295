"""Panels whose picture goes from the first step to now."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn

import nn_inspector as nni
from nn_inspector.history import Chart, Heat, Series, earlier, row_labels
from nn_inspector.panels import (
    activation_history,
    attention_entropy,
    batch_labels,
    fixed_batch,
    gradient_histogram,
    hidden_norm,
    metrics,
    predicted_classes,
    regularization,
    unit_map,
    update_history,
    update_map,
    weight_histogram,
    weight_history,
)
from nn_inspector.panels.chart_image import draw, png
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.layer_rows import MOST_ROWS
from nn_inspector.panels.legend import legend_html
from nn_inspector.panels.over_time import MOST_COLUMNS, columns, held
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.update_ratio import USUAL
from nn_inspector.probes import Measurement, TraceEntry
from nn_inspector.stats import BINS

ALL = Selection()


def run_with(*measurements, steps, **parameters):
    run = nni.Run("made", {"model": "M", **parameters})
    run.record([Measurement(*one) for one in measurements])
    run.steps = steps
    return run


@given(st.lists(st.integers(0, 500), min_size=1, max_size=50, unique=True), st.integers(1, 600))
def test_a_column_shows_the_latest_value_that_was_known_at_its_last_step(steps, total):
    steps = sorted(steps)
    series = Series.exact(np.array(steps), np.array(steps, dtype=float))
    run = run_with(steps=total)
    ends = columns(run, [series])
    assert ends[-1] == total - 1
    assert len(ends) <= min(len(steps), MOST_COLUMNS)
    for end, value in zip(ends, held(series, ends), strict=True):
        known = [step for step in steps if step <= end]
        assert value == known[-1] if known else np.isnan(value)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (24, 100)])
def test_cells_lie_where_their_rows_and_steps_are(shape):
    heat = Heat(np.linspace(0.0, 1.0, shape[0] * shape[1]).reshape(shape), 50.0, 0.0, 1.0, "share")
    labels = row_labels([str(row) for row in range(shape[0])])
    chart = Chart("rows", "step", "layer", {}, labels, heat=heat, top=50.0)
    widget = ChartWidget(chart)
    mark = widget._heat
    assert mark.visible
    assert mark.color.shape == (len(mark.y), len(mark.x))
    assert mark.color[0, 0] == 0.0
    assert mark.color[-1, -1] == (1.0 if heat.values.size > 1 else 0.0)
    width, height = (edge[1] - edge[0] for edge in (mark.x, mark.y))
    assert (mark.x[0] - width / 2, mark.x[-1] + width / 2) == pytest.approx((0.0, 50.0))
    assert (mark.y[0] - height / 2, mark.y[-1] + height / 2) == pytest.approx((-0.5, shape[0] - 0.5))
    assert "share: 0" in legend_html(chart)
    assert png([("cells", chart)]).startswith(b"\x89PNG")
    late = np.array([[np.nan, np.nan, np.nan, 1.0], [np.nan, 0.5, np.nan, 0.0]])
    widget.update(
        Chart("rows", "step", "layer", {}, row_labels(["a", "b"]), heat=Heat(late, 8.0, 0.0, 1.0, ""), top=8.0)
    )
    assert (mark.x.tolist(), mark.color.tolist()) == ([3.0, 5.0, 7.0], [[0.0, 0.0, 1.0], [0.5, 0.0, 0.0]])
    widget.update(Chart("rows", "step", "layer", {}, heat=Heat(np.zeros((0, 0)), 1.0, 0.0, 1.0, "")))
    assert not mark.visible
    widget.close()


def test_the_history_of_a_distribution_has_a_column_for_each_measured_step():
    counts = np.zeros((2, BINS))
    counts[0, BINS // 2 + 41] = counts[1, BINS // 2 - 41] = 8.0  # from 1 to 2, then from -2 to -1
    run = run_with(*((step, "activation_histogram", "head", counts[step]) for step in (0, 1)), steps=2)
    chart = activation_history.picture(run, ALL)
    first, second = (np.flatnonzero(chart.heat.values[:, column]) for column in (0, 1))
    texts = dict(chart.labels)
    assert texts[first[0] + 0.5] == "1"
    assert texts[second[0] - 0.5] == "-1"
    assert first < second, "large values stand at the top"
    axes = Figure().subplots()
    draw(axes, chart)
    assert axes.get_ylim() == (len(chart.heat.values) - 0.5, -0.5)
    assert activation_history.picture(run, Selection(layer="other")).empty


def test_the_spread_of_weights_is_their_root_mean_square():
    norms = [
        (0, "weight_norm", "0.weight", 8.0),
        (0, "weight_norm", "0.bias", 6.0),
        (0, "weight_norm", "1.weight", 3.0),
    ]
    run = run_with(*norms, steps=1, own_parameters={"0": 100, "1": 9})
    chart = weight_history.picture(run, Selection(layer="1"))
    assert chart.heat.values.tolist() == [[1.0], [1.0]]
    assert chart.layers == ("0", "1")
    assert chart.chosen == (1,)


def test_the_update_ratio_over_time_shows_least_greatest_and_the_selected_layer():
    sizes = {"a": 1e-3, "b": 1e-2, "c": 1e-4}
    run = run_with(
        *(
            (step, quantity, f"{layer}.weight", 1.0 if quantity == "weight_norm" else size)
            for step in range(3)
            for quantity in ("weight_norm", "update_norm")
            for layer, size in sizes.items()
        ),
        steps=3,
    )
    chart = update_history.picture(run, Selection(layer="b"))
    last = {name: float(one.y[-1]) for name, one in chart.series.items()}
    assert last == pytest.approx({"least": 1e-4, "greatest": 1e-2, "median of the layers": 1e-3, "b": 1e-2})
    assert chart.band == (1e-4, 1e-1, "usual")


def test_units_that_rest_are_counted_beside_their_row():
    vectors = {"relu": np.array([0.0, 0.5]), "wide": np.array([1.0, 0.5, 0.25, 0.0])}
    run = run_with(*((9, "unit_activity", name, vector) for name, vector in vectors.items()), steps=10)
    chart = unit_map.picture(run, ALL)
    assert chart.remarks == ("2 units, 1 idle", "4 units, 1 idle")
    assert chart.heat.values.tolist() == [[0.0, 0.0, 0.5, 0.5], [1.0, 0.5, 0.25, 0.0]]


def test_what_is_said_and_what_is_in_the_batches_come_from_the_counted_pairs():
    pairs = np.array([[3.0, 1.0], [0.0, 0.0]])  # three of class 0 taken for 0, one for 1
    run = run_with((4, "confusion", "train", pairs.ravel()), (4, "confusion", "validation", pairs.T.ravel()), steps=5)
    assert batch_labels.picture(run, ALL).heat.values.tolist() == [[1.0], [0.0]]
    said = predicted_classes.picture(run, ALL)
    assert said.heat.values.tolist() == [[1.0], [0.0]]
    assert said.note.startswith("Of the validation data")
    train_only = run_with((4, "confusion", "train", pairs.ravel()), steps=5)
    assert predicted_classes.picture(train_only, ALL).heat.values.tolist() == [[0.75], [0.25]]


def test_a_validation_pass_after_the_last_step_is_shown_too():
    first, last = np.array([4.0, 0.0, 4.0, 0.0]), np.array([0.0, 4.0, 0.0, 4.0])
    passes = ((step, "confusion", "validation", counts) for step, counts in ((6, first), (12, last)))
    chart = predicted_classes.picture(run_with(*passes, steps=12), ALL)
    assert chart.heat.values.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_labels_that_come_sorted_are_stairs():
    case_labels = torch.arange(4).repeat_interleave(6)
    x = torch.randn(24, 4)
    model, loss_fn = nn.Linear(4, 4), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, loss_fn, every=1) as inspector:
        for start in range(0, 24, 6):
            loss_fn(model(x[start : start + 6]), case_labels[start : start + 6]).backward()
            optimizer.step()
    assert batch_labels.picture(inspector.run, ALL).heat.values.tolist() == np.eye(4).tolist()


def test_what_was_logged_is_shown_and_nothing_else():
    run = run_with(
        (0, "loss", "train", 2.0), (0, "accuracy", "train", 0.5), (1, "accuracy", "validation", 0.75), steps=2
    )
    assert list(metrics.picture(run, ALL).series) == ["accuracy, train", "accuracy, validation"]
    assert "inspector.log(" in metrics.picture(run_with((0, "loss", "train", 2.0), steps=1), ALL).note


def logged(*rows, counts=None):
    """A run of validation results, with the classes that were seen."""
    run = run_with(
        *((step, name, "validation", value) for name, *values in rows for step, value in enumerate(values)), steps=9
    )
    if counts is not None:
        run.record([Measurement(0, "confusion", "validation", np.array(counts, dtype=np.float64))])
    return run


@pytest.mark.parametrize(
    ("name", "marked"), [("accuracy", (1.0, 0.8)), ("val_F1", (1.0, 0.8)), ("perplexity", (2.0, 0.3)), ("speed", None)]
)
def test_the_best_of_what_was_logged_is_marked_where_its_name_tells_what_is_better(name, marked):
    chart = metrics.picture(logged((name, 0.5, 0.8, 0.3, np.nan)), ALL)
    best = chart.series.get("best of validation")
    assert (None if best is None else (best.x[0], best.y[0])) == marked
    assert chart.note == ("" if marked is None else f"Best {name}: {marked[1]:.4g} at step {marked[0]:.0f}.")


def test_the_best_of_several_have_one_sign_and_a_sentence_each():
    chart = metrics.picture(logged(("accuracy", 0.5, 0.8), ("error", 0.5, 0.2), ("recall", 0.5)), ALL)
    assert chart.series["best of validation"].x.tolist() == [1.0, 1.0]
    assert chart.note == "Best accuracy: 0.8 at step 1. Best error: 0.2 at step 1."


@pytest.mark.parametrize(
    ("name", "values", "levels"),
    [
        ("accuracy", [0.2, 0.9], {"always the most frequent class": 0.75}),
        ("test_acc", [20.0, 90.0, np.nan, np.inf], {"always the most frequent class, in %": 75.0}),
        ("balanced_accuracy", [0.2, 0.9], {}),
        ("accuracy_top5", [0.2, 0.9], {}),
        ("f1", [0.2, 0.9], {}),
    ],
)
def test_an_accuracy_is_held_against_the_most_frequent_class(name, values, levels):
    assert metrics.picture(logged((name, *values), counts=[2, 4, 1, 1]), ALL).levels == levels
    assert metrics.picture(logged((name, *values)), ALL).levels == {}


def test_what_was_logged_is_shown_in_logarithms_if_that_is_wanted():
    run = logged(("perplexity", 1000.0, 10.0))
    assert metrics.picture(run, Selection(log_metrics=True)).log
    assert not metrics.picture(run, Selection(log_loss=True)).log


def test_regularization_is_set_against_the_data():
    run = run_with((0, "loss", "train", 2.0), (0, "objective", "train", 3.0), steps=1)
    chart = regularization.picture(run, ALL)
    assert chart.series["penalty / loss"].y.tolist() == pytest.approx([0.5])
    assert chart.levels == {"as strong as the data": 1.0}
    assert regularization.picture(run_with((0, "loss", "train", 2.0), steps=1), ALL).note == regularization.NOTHING


def test_weight_decay_is_set_against_the_gradient():
    model, loss_fn = nn.Linear(4, 4), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    with nni.watch(model, optimizer, loss_fn, every=1) as inspector:
        for _ in range(3):
            optimizer.zero_grad()
            loss_fn(model(torch.randn(8, 4)), torch.arange(8) % 4).backward()
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
            weights = torch.cat([p.detach().flatten() for p in model.parameters()]).norm()
            optimizer.step()
    pull = regularization.picture(inspector.run, ALL).series["pull of weight decay / gradient"]
    assert len(pull.x) == 3
    assert 0 < pull.y[-1] < 2 * float(0.5 * weights / gradient)


def test_what_only_full_probes_measure_is_asked_for_and_then_shown():
    model = nn.ModuleDict(
        {"rnn": nn.GRU(4, 4, batch_first=True), "attention": nn.MultiheadAttention(4, 1, batch_first=True)}
    )
    panels = (hidden_norm, attention_entropy, weight_histogram, gradient_histogram)
    for probes, empty in (("standard", True), ("full", False)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with nni.watch(model, optimizer, every=1, probes=probes) as inspector:
            for _ in range(2):
                states, _ = model["rnn"](torch.randn(2, 6, 4))
                attended, _ = model["attention"](states, states, states)
                attended.square().mean().backward()
                optimizer.step()
        for panel in panels:
            chart = panel.picture(inspector.run, ALL)
            assert chart.empty == empty
            assert ('probes="full"' in chart.note) == empty


def answered(*looks):
    """A run in which these were said of some items: (step, predictions, targets, probabilities)."""
    return run_with(*((step, "fixed_batch", "train", np.array(parts).ravel()) for step, *parts in looks), steps=4)


def test_items_that_stay_the_same_stand_by_class_with_what_is_said_of_them_now():
    run = answered((0, [2, 2, 2], [2, 0, 1], [0.4, 0.3, 0.2]), (2, [2, 0, 2], [2, 0, 1], [0.9, 0.8, 0.1]))
    chart = fixed_batch.picture(run, ALL)
    assert [text for _, text in chart.labels] == ["class 0", "class 1", "class 2"]
    assert chart.remarks == ("✔ 0", "✖ 2", "✔ 2")
    assert chart.heat.values.tolist() == [[0.3, 0.8], [0.2, 0.1], [0.4, 0.9]]
    assert (chart.heat.low, chart.heat.high) == (0.0, 1.0)
    assert fixed_batch.picture(earlier(run, 1), ALL).remarks == ("✖ 2", "✖ 2", "✔ 2")


def test_numbers_that_are_predicted_are_coloured_by_the_range_of_their_targets():
    nothing = [np.nan, np.nan]
    chart = fixed_batch.picture(
        answered((0, [0.0, 0.1], [3.0, -1.5], nothing), (1, [9.0, -1.0], [3.0, -1.5], nothing)), ALL
    )
    assert [text for _, text in chart.labels] == ["target -1.5", "target 3"]
    assert chart.remarks == ("now -1", "now 9")
    assert (chart.heat.low, chart.heat.high) == (-1.5, 3.0)
    assert chart.heat.shares[1, -1] == 1.0, "what is beyond has the colour of the end"
    same = fixed_batch.picture(answered((0, [0.0], [2.0], [np.nan])), ALL)
    assert (same.heat.low, same.heat.high) == (1.0, 3.0)


def test_where_no_single_thing_is_true_of_an_item_it_has_its_number():
    chart = fixed_batch.picture(answered((0, [np.nan] * 2, [np.nan] * 2, [0.2, 0.7])), ALL)
    assert [text for _, text in chart.labels] == ["item 0", "item 1"]
    assert chart.remarks == ()
    assert not chart.empty


def test_a_fixed_batch_that_is_not_asked_says_how_it_would_be():
    assert 'probes="full"' in fixed_batch.picture(run_with(steps=3), ALL).note
    assert fixed_batch.picture(run_with(steps=0), ALL).note == ""
    refused = run_with(steps=3)
    refused.trace.append(TraceEntry(0, "fixed_batch", {"reason": "The model is compiled."}))
    assert (
        fixed_batch.picture(refused, ALL).note
        == "Predictions for a fixed batch are not followed. The model is compiled."
    )


def test_the_map_of_update_ratios_spans_the_usual_band_and_says_what_is_beyond():
    measured = [
        (step, quantity, f"{layer}.weight", value)
        for step in range(2)
        for layer, update in (("a", 0.01), ("b", 1e-6), ("c", 5.0), ("d", 0.0), ("e", np.nan))
        for quantity, value in (("update_norm", update), ("weight_norm", 2.0))
    ]
    chart = update_map.picture(run_with(*measured, steps=2), ALL)
    assert chart.layers == ("a", "b", "c", "d", "e")
    assert (chart.heat.low, chart.heat.high, chart.heat.log) == (*USUAL, True)
    assert chart.heat.shares[:, -1] == pytest.approx([np.log10(50) / 3, 0.0, 1.0, 0.0, 0.0])
    assert chart.remarks == ("5.0e-03", "5.0e-07 ▼ low", "2.5e+00 ▲ high", "0 ▼ low", "")
    assert update_map.picture(run_with(steps=0), ALL).empty


def test_the_map_of_update_ratios_takes_many_layers_together_and_unfolds_what_is_selected():
    names = [f"h.{place}.weight" for place in range(60)]
    measured = [(0, quantity, name, 1.0) for quantity in ("update_norm", "weight_norm") for name in names]
    run = run_with(*measured, steps=1)
    rows = update_map.picture(run, ALL).layers
    assert len(rows) <= MOST_ROWS
    chosen = update_map.picture(run, Selection(layer="h.7"))
    assert "h.7" in chosen.layers
    assert chosen.chosen == (chosen.layers.index("h.7"),)
