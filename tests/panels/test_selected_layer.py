import ipywidgets
import numpy as np
import pytest
from torch import nn

import nn_inspector as nni
from nn_inspector.history import Chart, curve, earlier, row_labels
from nn_inspector.panels import activation_histogram
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.chart_view import chart_view
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.clickable_rows import ClickableRows
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.panels.layers import model_layers, rows_of
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.selected_layer import LayerPicker, SelectedLayer
from nn_inspector.panels.style import BACK
from tests.trainings import classifier

BY_LAYER = ("gradient_flow", "update_ratio", "activation_spread", "idle_units", "weight_norm")


@pytest.fixture(scope="module")
def inspector():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        case.run(4)
    return inspector


@pytest.fixture
def dashboard(inspector):
    dashboard = Dashboard(inspector)
    for button in dashboard._choice._buttons.values():
        button.value = True
    yield dashboard
    dashboard.close()


def rows(layers=("a", "b", "c"), chosen=()):
    series = {"first step": curve([1.0, 2.0, 3.0], "faint"), "now": curve([3.0, 2.0, 1.0], "points")}
    return Chart("rows", "norm", "layer", series, row_labels(layers), layers=tuple(layers), chosen=chosen)


def click(widget: ChartWidget, place: object) -> None:
    """What bqplot sends when a bar is clicked."""
    rows = next(mark for mark in widget.children[1].marks if isinstance(mark, ClickableRows))
    rows._handle_custom_msg({"event": "element_click", "data": {"index": place}}, [])


def test_a_click_on_a_row_selects_its_layer_in_every_panel_and_another_click_none(dashboard):
    click(dashboard._charts["gradient_flow"], 1)
    assert dashboard._picker.list.value == "2"
    for name in BY_LAYER:
        chart = dashboard._charts[name]._shown
        assert [chart.layers[place] for place in chart.chosen] == (["2"] if "2" in chart.layers else []), name
    assert dashboard._charts["activation_histogram"]._shown.x_label == "output of 2"
    dashboard._layer.name = "1"
    assert dashboard._charts["weight_norm"]._shown.note == "1 ReLU has no row here."
    assert dashboard._charts["idle_units"]._shown.chosen == (0,)
    dashboard._layer.name = "2"
    click(dashboard._charts["weight_norm"], 1)
    assert dashboard._layer.name is None
    assert not any(chart._shown.chosen for chart in dashboard._charts.values())


def test_the_picker_selects_and_clears_by_keyboard(dashboard):
    picker = dashboard._picker
    assert [text for text, _ in picker.list.options] == ["all layers", "0 Linear", "1 ReLU", "2 Linear"]
    assert picker.clear.disabled
    picker.list.value = "0"
    assert dashboard._charts["update_ratio"]._shown.chosen == (0,)
    assert dashboard._charts["update_ratio"]._shown.labels[0] == (0.0, "▸ 0 Linear")
    picker.clear.click()
    assert picker.list.value == ""
    assert dashboard._charts["update_ratio"]._shown.chosen == ()


def test_the_selection_holds_in_time_travel_and_in_the_picture_that_stays(inspector):
    dashboard = Dashboard(inspector)
    for name in ("gradient_flow", "activation_histogram"):
        dashboard._choice._buttons[name].value = True
    dashboard._layer.name = "0"
    dashboard._time.slider.value = 3
    assert dashboard._charts["gradient_flow"]._shown.chosen == (0,)
    assert dashboard._charts["activation_histogram"]._shown.x_label == "output of 0"
    plain = dashboard._twin()
    dashboard._layer.name = "2"
    assert dashboard._twin() != plain
    dashboard.close()


def test_the_picture_that_stays_follows_the_selection_once_no_training_runs(inspector):
    class Handle:
        shown = 0

        def update(self, _):
            self.shown += 1

    dashboard, handle = Dashboard(inspector), Handle()
    dashboard._twins.append(handle)
    dashboard._layer.name = "0"
    dashboard._after_cell()
    assert handle.shown == 1
    dashboard.close()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_bears_any_selection(panel, inspector):
    for layer in ("0", "1", "never heard of"):
        for run in (inspector.run, earlier(inspector.run, 2), nni.Run("empty", {"model": "M"})):
            chart = panel.picture(run, Selection(layer=layer))
            chart_view(chart).close()
    assert png([(panel.title, panel.picture(inspector.run, Selection(layer="0")))]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("selected", "places"),
    [("a.b", (0,)), ("a", (0, 1)), ("a.b.c", (0,)), ("ab", (2,)), ("b", ()), ("", ()), (None, ()), ("model", (3,))],
)
def test_a_layer_is_found_by_its_name_or_its_block(selected, places):
    assert rows_of(("a.b", "a.c", "ab", "model"), selected) == places


def test_rows_that_are_not_selected_stand_back():
    widget = ChartWidget(rows(), on_layer=lambda _: None)
    faint, points = (mark for mark in widget._marks if mark.visible)
    bars = next(mark for mark in widget.children[1].marks if isinstance(mark, ClickableRows))
    assert set(points.opacities) == {1.0}
    assert set(bars.opacities) == {0.0}
    widget.update(rows(chosen=(1,)))
    assert points.opacities == [BACK, 1.0]
    assert faint.opacities == [BACK]
    assert np.isfinite([points.x, points.y]).all()
    assert set(zip(points.x[1], points.y[1], strict=True)) == {(2.0, 1.0)}
    assert [opacity > 0 for opacity in bars.opacities] == [False, True, False]
    widget.update(rows())
    assert set(points.opacities) == {1.0}


def test_an_update_without_another_selection_sends_nothing_for_the_rows():
    widget = ChartWidget(rows(), on_layer=lambda _: None)
    bars, changes = next(mark for mark in widget.children[1].marks if isinstance(mark, ClickableRows)), []
    bars.observe(changes.append)
    widget.update(rows())
    assert changes == []


@pytest.mark.parametrize("place", [None, -1, 3, "0", 1.0])
def test_a_click_beside_the_rows_is_ignored(place):
    clicked = []
    widget = ChartWidget(rows(), on_layer=clicked.append)
    click(widget, place)
    assert clicked == []
    click(widget, 2)
    assert clicked == ["c"]


def test_a_layer_without_recorded_outputs_says_so(inspector):
    chart = activation_histogram.picture(inspector.run, Selection(layer="elsewhere"))
    assert chart.note == "The outputs of elsewhere were not measured."
    assert chart.note in ChartWidget(chart).children[0].value


def test_a_block_joins_the_list_when_it_is_selected():
    selected = SelectedLayer()
    picker = LayerPicker(nni.Run("made", {"model": "M"}), ["encoder.0", "encoder.1"], selected)
    selected.name = "encoder"
    assert picker.list.value == "encoder"
    selected.name = None
    assert isinstance(picker.list, ipywidgets.Dropdown)
    assert picker.list.value == ""


def many(count=60):
    layers = [f"h.{block}.{name}" for block in range(count // 2) for name in ("attn", "mlp")]
    kinds = {layer: "Attention" if layer.endswith("attn") else "Linear" for layer in layers}
    selected = SelectedLayer()
    return LayerPicker(nni.Run("made", {"model": "M", "modules": kinds}), layers, selected), selected


@pytest.mark.parametrize(
    ("text", "first", "count", "name"),
    [
        ("attn", "30 of 60 layers", 30, None),
        ("MLP", "30 of 60 layers", 30, None),
        ("attention", "30 of 60 layers", 30, None),
        ("h.2", "22 of 60 layers", 22, None),
        (" h.2.attn ", "1 of 60 layers", 1, "h.2.attn"),
        ("29.mlp", "1 of 60 layers", 1, "h.29.mlp"),
        ("[", "no such layer", 0, None),
        ("", "all layers", 60, None),
    ],
)
def test_layers_are_found_by_any_part_of_their_name_or_type(text, first, count, name):
    picker, selected = many()
    assert picker.find.layout.display is None
    picker.find.value = "nowhere"
    picker.find.value = text
    assert picker.list.options[0] == (first, "")
    assert len(picker.list.options) == count + 1
    assert selected.name == name
    assert picker.list.value == (name or "")


def test_a_selected_layer_stays_in_the_list_whatever_is_looked_for():
    picker, selected = many()
    selected.name = "h.3.mlp"
    picker.find.value = "attn"
    assert selected.name == picker.list.value == "h.3.mlp"
    assert picker.list.options[-1] == ("h.3.mlp Linear", "h.3.mlp")
    picker.choose(1)
    assert selected.name == "h.0.attn"
    picker.find.value = ""
    assert selected.name == "h.0.attn"
    assert len(picker.list.options) == 61


def test_a_layer_whose_name_is_part_of_others_is_selected_by_its_whole_name():
    selected = SelectedLayer()
    picker = LayerPicker(nni.Run("made", {"model": "M"}), [str(place) for place in range(60)], selected)
    picker.find.value = "5"
    assert selected.name == "5"
    assert len(picker.list.options) == 1 + 15


def test_few_layers_need_no_search():
    picker = LayerPicker(nni.Run("made", {"model": "M"}), ["0", "1"], SelectedLayer())
    assert picker.find.layout.display == "none"


def test_what_is_looked_for_while_a_cell_runs_is_found(dashboard):
    dashboard._wishes.note({"find": "relu"})
    dashboard._wishes.note({"find": 3})
    dashboard._grant_wishes()
    assert dashboard._layer.name == "1"


def test_layers_are_those_that_are_measured_or_hold_parameters_in_the_order_of_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Sequential(nn.ReLU(), nn.Linear(2, 1)))
    with nni.watch(model, layers=nn.ReLU) as inspector:
        assert model_layers(inspector) == ["0", "2.0", "2.1"]
    with nni.watch(nn.Linear(2, 1)) as inspector:
        assert model_layers(inspector) == ["model"]
