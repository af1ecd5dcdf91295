import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import nn_inspector as nni
from nn_inspector.checks import catalog
from nn_inspector.history import Chart, Curve, Finding, earlier, facts_json
from nn_inspector.history.facts import Facts
from nn_inspector.panels.chart_image import draw, png
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.choice import FIRST, GROUPS, PANELS
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.panels.event_marks import EventMarks
from nn_inspector.panels.evidence import whereabouts
from nn_inspector.panels.findings_strip import MOST_CAUSES, MOST_SYMPTOMS, FindingsStrip
from nn_inspector.panels.in_words import in_words
from nn_inspector.panels.matrix_widget import MatrixWidget
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.row_marks import RowMarks
from nn_inspector.probes import ITEM_FIELDS, Measurement
from nn_inspector.stats import BINS
from tests.trainings import classifier

LAYERS = ("0", "1", "2", "model", "encoder.0")


def found(check, severity="warning", **options):
    return Finding(check, severity, f"{check} was found.", **options)


def run_of(steps=100, *findings):
    run = nni.Run("made", {"model": "M"})
    run.steps = steps
    for finding in findings:
        run.add_finding(finding)
    return run


@pytest.fixture
def dashboard():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        case.run(2)
        inspector.run.add_finding(found("vanishing_gradients", where="2.weight"))
        inspector.run.add_finding(found("loss_spike", evidence={"step": 3.0}))
        case.run(2)
    dashboard = Dashboard(inspector)
    yield dashboard
    dashboard.close()


def show_buttons(strip):
    return {row._button._finding.check: row._button for row in strip._causes if row._button._finding is not None}


# when it was raised


def test_a_run_knows_since_when_a_check_raises_something():
    run = run_of(50, found("dead_units"))
    run.steps = 90
    run.add_finding(found("dead_units", "error"))
    assert run.raised_at("dead_units") == 49
    run.add_finding(found("dead_units", "ok"))
    assert run.raised_at("dead_units") is None
    run.add_finding(found("dead_units"))
    assert run.raised_at("dead_units") == 89
    assert run.raised_at("shuffling") is None


@pytest.mark.parametrize(("named", "step"), [(12.0, 12), (float("nan"), 99), (-1.0, 99), (100.0, 99), ([3.0], 99)])
def test_a_step_in_the_evidence_comes_first_if_the_run_has_it(named, step):
    assert run_of(100, found("loss_spike", evidence={"step": named})).raised_at("loss_spike") == step


def test_it_is_known_before_the_first_step_at_an_earlier_step_and_in_the_file(tmp_path):
    assert run_of(0, found("label_range")).raised_at("label_range") == 0
    run = run_of(60, found("dead_units"))
    run.steps = 200
    assert earlier(run, 10).raised_at("dead_units") == 59
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, run=tmp_path / "a.sqlite") as inspector:
        case.run(1)
        inspector.run.add_finding(found("dead_units"))
        case.run(1)
    assert nni.open_run(tmp_path / "a.sqlite").raised_at("dead_units") == 5


@pytest.mark.parametrize(
    "data", [[], {"dead_units": -1}, {"dead_units": "3"}, {"dead_units": True}, {"dead_units": 1 << 70}]
)
def test_steps_from_a_stranger_are_checked(data):
    with pytest.raises(facts_json.FactError):
        facts_json.set_fact(Facts("a", {}), "raised", data)


# where it can be seen


@pytest.mark.parametrize(
    ("where", "layer"),
    [("2", "2"), ("0.weight", "0"), ("encoder.0.bias", "encoder.0"), ("model", "model"), ("loop", None),
     ("train_loader", None), ("step 12", None), ("model.forward", None), ("cell 3, line 2", None), (None, None)],
)  # fmt: skip
def test_the_layer_is_taken_from_where_a_finding_points(where, layer):
    finding = found("vanishing_gradients", where=where)
    assert whereabouts(run_of(10, finding), finding, LAYERS, GROUPS.values()).layer == layer


def test_panels_know_their_checks():
    known = {info.name for info in catalog()}
    assert {check for panel in PANELS for check in panel.checks} <= known
    finding = found("gradient_flow")
    place = whereabouts(run_of(10, finding), finding, LAYERS, GROUPS.values())
    assert [panel.name for panel in place.panels] == ["gradient_flow"]
    assert place.words(run_of(10)) == "step 9, Gradient flow"


def recurrent_run(layer):
    run = run_of(10, found("vanishing_gradients", where=layer))
    run.record([Measurement(9, "gradient_norm", f"{name}.weight", 1.0) for name in ("rows", "head")])
    run.record([Measurement(9, "hidden_norm", "rows", np.ones(3))])
    return run


@pytest.mark.parametrize(("layer", "names"), [("rows", ["gradient_flow", "hidden_norm"]), ("head", ["gradient_flow"])])
def test_a_panel_comes_up_where_it_has_something_to_show_of_the_layer(layer, names):
    run = recurrent_run(layer)
    place = whereabouts(run, run.finding("vanishing_gradients"), ("rows", "head"), GROUPS.values())
    assert [panel.name for panel in place.panels] == names


@pytest.mark.parametrize(
    ("where", "names"),
    [("attention", ["attention_entropy"]), ("body", ["activation_histogram"]), (None, ["activation_histogram"])],
)
def test_of_a_finding_about_attention_its_own_panel_comes_first(where, names):
    run = run_of(10, found("hidden_activation", where=where))
    for layer in ("body", "attention"):
        run.record([Measurement(9, "activation_histogram", layer, np.ones(BINS))])
    run.record([Measurement(9, "attention_entropy", "attention", 0.5)])
    place = whereabouts(run, run.finding("hidden_activation"), ("body", "attention"), GROUPS.values())
    assert [panel.name for panel in place.panels] == names


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        ("hidden_norm", "exploding_gradients", "▲ Found: exploding_gradients, vanishing_gradients (rows)."),
        ("gradient_flow", "gradient_flow", "▲ Found: gradient_flow."),
    ],
)
def test_what_has_no_mark_in_a_picture_is_named_below_it(name, check, said):
    run = recurrent_run("rows")
    run.add_finding(found(check))
    panel = next(panel for panel in PANELS if panel.name == name)
    assert said in panel.chart(run, Selection()).note
    run.add_finding(found(check, "ok"))
    run.add_finding(found("vanishing_gradients", "ok"))
    assert "Found" not in panel.chart(run, Selection()).note


@pytest.mark.parametrize(
    ("measured", "names"),
    [
        (None, ["nonfinite_map", "worst_items"]),
        ("loss", ["nonfinite_map", "worst_items"]),
        ("activation_nonfinite", ["nonfinite_map"]),
    ],
)
def test_a_panel_with_nothing_to_show_comes_up_only_where_all_are_so(measured, names):
    run = run_of(10, found("missing_values"))
    if measured is not None:
        run.record([Measurement(3, measured, "0", 1.0)])
    place = whereabouts(run, run.finding("missing_values"), LAYERS, GROUPS.values())
    assert [panel.name for panel in place.panels] == names


# one click


def test_a_click_on_a_finding_shows_step_layer_and_panel(dashboard):
    dashboard._choice._buttons["gradient_flow"].value = False
    show_buttons(dashboard._findings)["vanishing_gradients"].click()
    assert dashboard._time.slider.value == 11
    assert dashboard._picker.list.value == "2"
    assert "gradient_flow" in [panel.name for panel in dashboard._choice.chosen]
    chart = dashboard._charts["gradient_flow"]._shown
    assert [chart.layers[place] for place in chart.chosen] == ["2"]
    assert "evidence of <code>vanishing_gradients" in dashboard._cards["gradient_flow"]._title.value
    assert "evidence of" not in dashboard._cards["loss"]._title.value


def test_another_click_leaves_nothing_of_the_first(dashboard):
    show_buttons(dashboard._findings)["vanishing_gradients"].click()
    show_buttons(dashboard._findings)["loss_spike"].click()
    assert dashboard._time.slider.value == 3
    assert dashboard._layer.name is None
    assert [name for name, card in dashboard._cards.items() if "evidence of" in card._title.value] == [
        "loss",
        "worst_items",
    ]


def test_one_click_draws_each_panel_once(dashboard, monkeypatch):
    draws = []
    monkeypatch.setattr(ChartWidget, "update", lambda self, chart: draws.append(self))
    show_buttons(dashboard._findings)["vanishing_gradients"].click()
    assert len(draws) == len(FIRST)


def test_a_finding_of_no_panel_goes_to_its_step(dashboard):
    run = dashboard._inspector.run
    run.add_finding(found("pairing", where="train_loader"))
    dashboard._choice._buttons["loss"].value = False
    dashboard.show_evidence(run.finding("pairing"))
    assert dashboard._time.slider.value == 23
    assert "loss" in [panel.name for panel in dashboard._choice.chosen]


def test_a_mark_on_the_axis_leads_to_the_evidence_too(dashboard):
    marks = next(mark for mark in dashboard._charts["loss"].children[1].marks if isinstance(mark, EventMarks))
    assert list(marks.names) == ["step 3: loss_spike"]
    marks._handle_custom_msg({"event": "element_click", "data": {"index": 0}}, [])
    assert dashboard._time.slider.value == 3


# marks


def test_panels_over_steps_mark_what_was_raised_until_the_step_shown(dashboard):
    run = dashboard._inspector.run
    loss = next(panel for panel in PANELS if panel.name == "loss")
    assert loss.chart(run, Selection()).events == ((3.0, "loss_spike"),)
    assert loss.chart(earlier(run, 2), Selection()).events == ()
    run.add_finding(found("loss_spike", "ok"))
    assert loss.chart(run, Selection()).events == ()
    rows = next(panel for panel in PANELS if panel.name == "gradient_flow")
    assert rows.chart(run, Selection()).events == ()


def test_marks_lie_on_the_axis_and_are_named_in_words_too():
    chart = Chart("lines", "step", "loss", {"a": Curve(np.arange(5.0), np.arange(5.0))})
    marked = Chart("lines", "step", "loss", dict(chart.series), events=((2.0, "divergence"),))
    widget = ChartWidget(chart)
    marks = next(mark for mark in widget.children[1].marks if isinstance(mark, EventMarks))
    assert not marks.visible
    widget.update(marked)
    assert marks.visible
    assert marks.x.tolist() == [2.0]
    assert 0.0 < marks.y[0] < 0.05
    assert "step 2: divergence" in widget.children[0].value
    widget.update(chart)
    assert not marks.visible
    assert "divergence" not in widget.children[0].value
    assert png([("a", marked)]) != png([("a", chart)])


def test_what_was_raised_at_the_same_step_has_one_mark():
    clicked = []
    curves = {"a": Curve(np.arange(5.0), np.arange(5.0))}
    events = ((4.0, "oscillation"), (2.0, "divergence"), (4.0, "no_learning"))
    widget = ChartWidget(Chart("lines", "step", "loss", curves, events=events), on_event=clicked.append)
    marks = next(mark for mark in widget.children[1].marks if isinstance(mark, EventMarks))
    assert marks.x.tolist() == [2.0, 4.0]
    for place in (1, 0, 2, None):
        marks._handle_custom_msg({"event": "element_click", "data": {"index": place}}, [])
    assert clicked == ["oscillation", "divergence"]


@pytest.mark.parametrize(
    ("where", "places"),
    [("2.weight", (1.0,)), ("0", (0.0,)), ("1", ()), ("train_loader", ()), (None, ()), ("bias", ())],
)
def test_panels_by_layer_mark_the_row_that_a_finding_is_about(dashboard, where, places):
    run = dashboard._inspector.run
    run.add_finding(found("vanishing_gradients", where=where))
    panel = next(panel for panel in PANELS if panel.name == "gradient_flow")
    assert panel.chart(run, Selection()).found == tuple((place, "vanishing_gradients") for place in places)
    run.add_finding(found("vanishing_gradients", "ok", where=where))
    assert panel.chart(run, Selection()).found == ()


def test_a_row_of_several_layers_is_marked_for_each_of_them():
    run = run_of(2, found("gradient_flow", where="30.weight"), found("vanishing_gradients", where="28"))
    run.record([Measurement(0, "gradient_norm", f"{place}.weight", 1.0) for place in range(100)])
    panel = next(panel for panel in PANELS if panel.name == "gradient_flow")
    chart = panel.chart(run, Selection())
    row = chart.layers.index("25\N{EN DASH}29")
    assert chart.found == ((row + 1.0, "gradient_flow"), (float(row), "vanishing_gradients"))


BY_CLASS = np.array([[8.0, 2.0, 0.0], [9.0, 1.0, 0.0], [7.0, 0.0, 3.0]])


@pytest.mark.parametrize("name", ["confusion", "predicted_classes", "batch_labels"])
@pytest.mark.parametrize(("named", "places"), [(2.0, (2.0,)), ([0.0, 2.0], (0.0, 2.0)), (7.0, ()), (float("nan"), ())])
def test_panels_by_class_mark_the_classes_that_a_finding_names(name, named, places):
    panel = next(panel for panel in PANELS if panel.name == name)
    run = run_of(1, found(panel.checks[0], evidence={"class": named}))
    run.record([Measurement(0, "confusion", "train", BY_CLASS.ravel())])
    assert panel.chart(run, Selection()).found == tuple((place, panel.checks[0]) for place in places)
    run.add_finding(found(panel.checks[0]))
    assert panel.chart(run, Selection()).found == ()


def test_a_marked_class_is_named_at_its_row_and_column_below_and_in_words():
    run = run_of(1, found("constant_predictions", evidence={"class": 0.0}))
    run.record([Measurement(0, "confusion", "train", BY_CLASS.ravel())])
    panel = next(panel for panel in PANELS if panel.name == "confusion")
    chart = panel.chart(run, Selection())
    widget = MatrixWidget(chart)
    assert "▲ class 0: constant_predictions" in widget.children[0].value
    assert re.findall(r">(▲ \d|\d)</th>", widget.children[1].value) == ["▲ 0", "1", "2", "▲ 0", "1", "2"]
    assert "found at class 0: constant_predictions" in in_words(chart)
    assert png([("a", chart)]) != png([("a", replace(chart, found=()))])


def test_bars_of_one_layer_name_what_was_found_in_it(dashboard):
    run = dashboard._inspector.run
    panel = next(panel for panel in PANELS if panel.name == "activation_histogram")
    run.add_finding(found("saturation", where="2"))
    assert panel.chart(run, Selection(layer="0")).found == ()
    chart = panel.chart(run, Selection(layer="2"))
    assert chart.found == ((0.0, "saturation"),)
    assert "2: saturation" in ChartWidget(chart).children[0].value
    assert png([("a", chart)]) != png([("a", replace(chart, found=()))])


def test_what_was_found_in_bars_takes_no_room_from_the_picture():
    bars = Chart("bars", "output of a", "share", {"now": Curve(np.arange(3.0), np.ones(3))}, layers=("a",))
    widths = []
    for found_there in ((), ((0.0, "saturation"),)):
        figure = Figure(figsize=(10, 3), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots(1, 2)[1]
        draw(axes, replace(bars, found=found_there))
        canvas.draw()
        widths.append(axes.get_position().width)
    assert widths[0] == pytest.approx(widths[1], rel=0.02)


def test_items_whose_loss_is_lost_are_marked_and_the_worst_of_the_batch_at_which_the_loss_collapsed():
    run = run_of(9, found("nonfinite"), found("loss_spike", evidence={"step": 8.0}))
    items = np.full((3, len(ITEM_FIELDS)), 1.0)
    items[:, ITEM_FIELDS.index("loss")] = [np.inf, np.inf, 2.0]
    run.record([Measurement(8, "worst_items", "train", items.ravel())])
    panel = next(panel for panel in PANELS if panel.name == "worst_items")
    assert panel.chart(run, Selection()).found == ((0.0, "loss_spike"), (0.0, "nonfinite"), (1.0, "nonfinite"))
    run.add_finding(found("nonfinite", "ok"))
    run.add_finding(found("loss_spike", evidence={"step": 3.0}))
    assert panel.chart(run, Selection()).found == ()


def test_marks_at_rows_are_named_in_words_and_lead_to_the_evidence():
    clicked = []
    chart = Chart("rows", "norm", "layer", {"now": Curve(np.arange(3.0), np.ones(3), "points")}, layers=("a", "b", "c"))
    chart = replace(chart, labels=tuple(enumerate(chart.layers)))
    marked = replace(chart, found=((2.0, "gradient_flow"), (0.0, "weight_scale"), (2.0, "vanishing_gradients")))
    widget = ChartWidget(chart, on_event=clicked.append)
    marks = next(mark for mark in widget.children[1].marks if isinstance(mark, RowMarks))
    assert not marks.visible
    widget.update(marked)
    assert marks.visible
    assert marks.y.tolist() == [0.0, 2.0]
    assert list(marks.names) == ["a: weight_scale", "c: gradient_flow, vanishing_gradients"]
    assert "c: gradient_flow, vanishing_gradients" in widget.children[0].value
    assert png([("a", marked)]) != png([("a", chart)])
    for place in (1, 0, 2, None):
        marks._handle_custom_msg({"event": "element_click", "data": {"index": place}}, [])
    assert clicked == ["gradient_flow", "weight_scale"]
    changes = []
    marks.observe(changes.append)
    widget.update(marked)
    assert changes == []
    widget.update(chart)
    assert not marks.visible
    assert "gradient_flow" not in widget.children[0].value


# the strip


def test_the_strip_has_a_line_for_causes_and_buttons_for_symptoms():
    causes = [found(f"cause_{number}", "error") for number in range(MOST_CAUSES + 2)]
    run = run_of(9, *causes)
    strip = FindingsStrip(run, lambda _: "", lambda _: None)
    made = list(strip.children)
    assert all(row.layout.display is None for row in strip._causes)
    assert "and 2 more causes<" in strip._more.value
    for finding in causes:
        run.add_finding(found(finding.check, "ok"))
    strip.refresh()
    assert all(row.layout.display == "none" for row in strip.children)
    run.add_finding(found("gradient_flow", "error"))
    run.add_finding(found("no_learning"))
    strip.refresh()
    assert list(show_buttons(strip)) == ["gradient_flow"]
    assert [button.description for button in strip._symptoms if button.layout.display is None] == ["no_learning"]
    assert list(strip.children) == made
    assert len(strip._symptoms) == MOST_SYMPTOMS


def test_the_strip_shows_no_markup_of_others():
    finding = Finding("<b>x</b>", "error", "<script>x</script>", where="<i>")
    strip = FindingsStrip(run_of(3, finding), lambda _: "", lambda _: None)
    assert "<script>" not in strip._causes[0]._text.value
    assert "<b>x" not in strip._causes[0]._text.value
