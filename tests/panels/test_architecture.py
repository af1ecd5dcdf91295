from __future__ import annotations

import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.history import Finding, earlier
from nn_inspector.panels.architecture import PANEL
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.layer_health import LayerHealth
from nn_inspector.panels.layer_rows import MOST_ROWS
from nn_inspector.panels.legend import legend_html
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, classifier


class Backwards(nn.Module):
    """Its modules are made in another order than they run in."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6 * 4, CLASSES)
        self.body = nn.Conv1d(1, 6, kernel_size=2, stride=2)
        self.frozen = nn.Linear(CLASSES, CLASSES).requires_grad_(False)

    def forward(self, inputs):
        return self.frozen(self.head(self.body(inputs[:, None]).flatten(1)))


def watched(model, steps=2):
    case = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = list(case.train_loader)[:steps]
    with nni.watch(model, optimizer, case.loss_fn, train_loader=batches, every=1) as inspector:
        for inputs, target in batches:
            optimizer.zero_grad()
            case.loss_fn(model(inputs), target).backward()
            optimizer.step()
    return inspector.run


def test_modules_stand_in_the_order_of_their_calls_with_shape_and_parameters():
    chart = PANEL.picture(watched(Backwards()), Selection())
    assert chart.layers == ("body", "head", "frozen")
    assert chart.remarks == ("6 x 4 · 18 par.", "4 · 100 par.", "4 · 20 par.")
    assert chart.labels[0][1] == "✔ body Conv1d"
    assert chart.series["sound"].y.tolist() == [24.0, 4.0, 4.0]
    assert "✖" not in "".join(text for _, text in chart.labels)


class Passing(nn.Module):
    """Modules that compute nothing of their own run between the others, one of them twice, and one never."""

    def __init__(self):
        super().__init__()
        self.drop, self.unused = nn.Dropout(0.1), nn.Identity()
        self.body, self.flat = nn.Conv1d(1, 6, kernel_size=2, stride=2), nn.Flatten()
        self.head = nn.Linear(6 * 4, CLASSES)

    def forward(self, inputs):
        return self.drop(self.head(self.drop(self.flat(self.body(inputs[:, None])))))


def test_modules_without_parameters_have_their_place_and_are_not_said_to_be_sound():
    model = Passing()
    run = watched(model)
    chart = PANEL.picture(run, Selection())
    assert chart.layers == ("body", "flat", "drop", "head")
    assert [text.split()[0] for _, text in chart.labels] == ["✔", "○", "○", "✔"]
    assert chart.remarks == ("6 x 4 · 18 par.", "24", "24", "4 · 100 par.")
    assert run.sources("activation_mean") == ["body", "head"], "their outputs are not measured"
    assert not any(module._forward_hooks for module in model.modules())


def test_after_the_first_steps_and_in_validation_no_hook_is_on_modules_of_which_only_the_place_is_noted():
    case, model = classifier(), Passing()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = next(iter(case.train_loader))
    with nni.watch(model, optimizer, case.loss_fn, every=1) as inspector:
        hooked = []
        for _ in range(4):
            with torch.no_grad():
                model.eval()(x)
                hooked.append([name for name in ("drop", "flat", "unused") if model.get_submodule(name)._forward_hooks])
            optimizer.zero_grad()
            case.loss_fn(model.train()(x), y).backward()
            optimizer.step()
        assert hooked == [[], [], [], []]
        entries = [str(entry.facts["module"]) for entry in inspector.run.trace if entry.call == "module"]
    assert entries.count("drop") == entries.count("flat") == 1
    assert "unused" not in entries


@pytest.mark.parametrize(("layers", "shown"), [("head", ("head",)), (None, ("body", "flat", "drop", "head"))])
def test_where_some_layers_are_wanted_only_those_are_shown(layers, shown):
    case, model = classifier(), Passing()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = next(iter(case.train_loader))
    with nni.watch(model, optimizer, case.loss_fn, every=1, layers=layers) as inspector:
        case.loss_fn(model(x), y).backward()
        optimizer.step()
    assert PANEL.picture(inspector.run, Selection()).layers == shown


@pytest.mark.parametrize(
    ("measured", "level", "reason"),
    [
        ({("activation_nonfinite", "layer"): 0.1}, "wrong", "NaN or Inf in its output"),
        (
            {("gradient_norm", "layer.weight"): 0.0, ("gradient_norm", "layer.bias"): 0.0},
            "wrong",
            "its gradient is zero",
        ),
        ({("gradient_norm", "layer.weight"): 0.0, ("gradient_norm", "layer.bias"): 1.0}, "sound", ""),
        ({("gradient_norm", "layer.weight"): float("nan")}, "wrong", "NaN or Inf in its gradient"),
        ({("activation_spread", "layer"): 1.0, ("dead_units", "layer"): 0.8}, "wrong", "80% of its units are dead"),
        ({("activation_spread", "layer"): 1.0, ("dead_units", "layer"): 0.1}, "sound", ""),
        ({("saturated_units", "layer"): 0.3}, "look closer", "30% of its units are saturated"),
        (
            {
                ("gradient_norm", "layer.weight"): 1.0,
                ("update_norm", "layer.weight"): 3.0,
                ("weight_norm", "layer.weight"): 10.0,
            },
            "look closer",
            "update ratio 3.0e-01",
        ),
        ({}, "not measured", ""),
    ],
)
def test_how_a_layer_stands_follows_from_what_was_measured(measured, level, reason):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(0, quantity, source, value) for (quantity, source), value in measured.items()])
    health = LayerHealth(run).of("layer")
    assert (health.level, health.reason) == (level, reason)


@pytest.mark.parametrize(
    ("rates", "level"), [([0.1, 0.1], "look closer"), ([0.1, 0.001], "sound"), ([], "look closer")]
)
def test_small_updates_at_the_end_of_a_schedule_are_meant_to_be_small(rates, level):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(step, "learning_rate", "optimizer 0 group 0", rate) for step, rate in enumerate(rates)])
    sizes = {"gradient_norm": 1.0, "update_norm": 5e-5, "weight_norm": 10.0}
    run.record([Measurement(2, quantity, "layer.weight", value) for quantity, value in sizes.items()])
    assert LayerHealth(run).of("layer").level == level


@pytest.mark.parametrize("where", ["layer", "layer.weight"])
def test_a_finding_about_a_layer_or_its_parameter_marks_it(where):
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(0, "gradient_norm", "layer.weight", 1.0)])
    run.add_finding(Finding("weight_scale", "error", "Too large.", where=where))
    assert LayerHealth(run).of("layer").reason == "weight_scale"
    assert LayerHealth(run).of("other").level == "not measured"


def test_what_is_wrong_is_marked_by_sign_and_colour_and_said_in_words():
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    nn.init.constant_(model[0].bias, -1000.0)
    run = watched(model, steps=6)
    chart = PANEL.picture(run, Selection(layer="2"))
    assert chart.labels[0][1] == "✖ 0 Linear"
    assert chart.labels[2][1].startswith("✔ ▸ 2")
    assert "✖ 0 Linear: its gradient is zero." in chart.note
    assert list(chart.series) == ["sound", "wrong"]
    assert "wrong" in legend_html(chart)
    assert PANEL.picture(earlier(run, 0), Selection()).labels[0][1] == "✖ 0 Linear"


def test_many_modules_are_taken_together_by_block():
    blocks = [nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh(), nn.Tanh()) for _ in range(10)]
    run = watched(nn.Sequential(nn.Sequential(*blocks), nn.Linear(FEATURES, CLASSES)))
    chart = PANEL.picture(run, Selection())
    assert len(chart.layers) == 11 <= MOST_ROWS
    assert chart.layers[:2] == ("0.0", "0.1")
    assert chart.remarks[0] == f"{FEATURES} · {FEATURES * FEATURES + FEATURES} par."


def test_it_is_drawn_live_with_room_for_each_row_and_static():
    run = watched(nn.Sequential(*(nn.Linear(FEATURES, FEATURES) for _ in range(20))), steps=1)
    chart = PANEL.picture(run, Selection())
    widget = ChartWidget(chart)
    right = widget.children[1].axes[2]
    assert right.visible
    assert (right.scale.min, right.scale.max) == (-0.5, 19.5)
    assert right.tick_labels["19"] == f"{FEATURES} · 72 par."
    assert int(widget.children[1].layout.height.removesuffix("px")) >= 15 * 20
    assert png([(PANEL.title, chart)]).startswith(b"\x89PNG")
