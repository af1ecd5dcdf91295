from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.history import earlier
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.layer_rows import MOST_ROWS
from nn_inspector.panels.nonfinite_map import NOTHING, PANEL
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, classifier


def broken_at(step, layer=2, steps=6):
    """A training in which the weight of one layer becomes NaN before this step."""
    case = classifier()
    case.model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    batches = list(case.train_loader)[:steps]
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=batches, every=1) as inspector:
        for index, (inputs, target) in enumerate(batches):
            if index == step:
                with torch.no_grad():
                    case.model[layer].weight[0, 0] = float("nan")
            case.optimizer.zero_grad()
            case.loss_fn(case.model(inputs), target).backward()
            case.optimizer.step()
    return inspector.run


def marks(chart, kind):
    """(row's label, step) of the marks of one kind."""
    curve = chart.series[kind]
    rows = np.round(curve.x).astype(int)
    return [(chart.labels[row][1], int(step)) for row, step in zip(rows, curve.y, strict=True)]


def test_it_shows_where_and_when_nan_began_and_what_followed():
    run = broken_at(3)
    chart = PANEL.picture(run, Selection())
    assert chart.layers == ("0", "1", "2")
    assert [step for row, step in marks(chart, "output") if row == "2 Linear"] == [3, 4, 5]
    assert [step for row, step in marks(chart, "output") if row == "0 Linear"] == [4, 5]
    assert [step for row, step in marks(chart, "gradient") if row == "0 Linear"] == [3, 4, 5]
    assert [step for row, step in marks(chart, "weights") if row == "0 Linear"] == [4, 5]
    assert "First seen at step 3: weights of 2 Linear." in chart.note
    assert chart.top == run.steps


def test_without_nan_it_is_empty_and_says_so():
    run = broken_at(100)
    chart = PANEL.picture(run, Selection())
    assert chart.empty
    assert chart.note == NOTHING
    assert NOTHING in ChartWidget(chart).children[0].value
    assert png([(PANEL.title, chart)]).startswith(b"\x89PNG")


def test_going_back_in_time_shows_what_was_known_then():
    run = broken_at(3)
    assert PANEL.picture(earlier(run, 0), Selection()).note == NOTHING, "the first step is one"
    assert PANEL.picture(earlier(run, 2), Selection()).note == NOTHING
    assert marks(PANEL.picture(earlier(run, 3), Selection()), "output") == [("2 Linear", 3)]
    assert {step for _, step in marks(PANEL.picture(earlier(run, 4), Selection()), "output")} == {3, 4}


def test_it_is_drawn_live_and_static_with_the_selected_module_standing_out():
    chart = PANEL.picture(broken_at(3), Selection(layer="2"))
    assert chart.chosen == (2,)
    widget = ChartWidget(chart)
    drawn = [mark for mark in widget.children[1].marks if mark.visible and mark.stroke_width == 0]
    assert len({mark.marker for mark in drawn}) == len(drawn) == len(chart.series)
    assert png([(PANEL.title, chart)]).startswith(b"\x89PNG")


@pytest.mark.parametrize("modules", [3, 40])
def test_many_modules_and_many_steps_stay_a_small_picture(modules):
    names = [f"layer{index}" for index in range(modules)]
    run = nni.Run("made", {"model": "M", "modules": dict.fromkeys(["", *names], "Linear")})
    for step in range(3000):
        broken = [name for index, name in enumerate(names) if step >= 10 * index]
        run.record([Measurement(step, "activation_nonfinite", name, float(name in broken)) for name in names])
    run.steps = 3000
    chart = PANEL.picture(run, Selection())
    assert list(chart.layers) == names[:MOST_ROWS]
    assert 0 < len(chart.series["output"].x) <= 400
    assert re.search(r"A mark stands for [\d,]+ steps, if any of them had it.", chart.note)
    assert marks(chart, "output")[0] == ("layer0 Linear", 0)
    assert (f"{modules - MOST_ROWS} modules that followed later are not shown." in chart.note) == (modules > MOST_ROWS)


def test_no_step_is_lost_where_marks_stand_for_several():
    run = nni.Run("made", {"model": "M"})
    rare, often = np.array([5, 1999]), np.arange(0, 2000, 2)
    for name, steps in (("rare", rare), ("often", often)):
        run.record([Measurement(int(step), "activation_nonfinite", name, 1.0) for step in steps])
    run.steps = 2000
    chart = PANEL.picture(run, Selection())
    stretch = int(re.search(r"stands for (\d+) steps", chart.note)[1])
    drawn = {row: [step for name, step in marks(chart, "output") if name == row] for row in ("rare", "often")}
    assert drawn["rare"] == rare.tolist()
    assert {step // stretch for step in drawn["often"]} == {int(step) // stretch for step in often}
    assert len(drawn["often"]) == len(set(drawn["often"]) & set(often.tolist()))


def test_few_steps_have_a_mark_each_and_nothing_is_said_of_stretches():
    assert "stands for" not in PANEL.picture(broken_at(3), Selection()).note


def test_a_gradient_that_is_not_finite_is_named():
    run = nni.Run("made", {"model": "M", "modules": {"": "M", "head": "Linear"}})
    run.record([Measurement(step, "gradient_norm", "head.weight", value) for step, value in enumerate([1.0, np.inf])])
    run.steps = 2
    note = PANEL.picture(run, Selection()).note
    assert note == "First seen at step 1: gradient of head Linear."


@pytest.mark.parametrize(
    ("quantity", "sources", "where"),
    [
        ("activation_nonfinite", ("a", "b"), "output of a Linear."),
        ("gradient_norm", ("a.weight", "b.weight"), "gradient of b Linear."),
        ("weight_norm", ("a.weight", "b.weight"), "weights of 2 modules."),
        ("weight_norm", ("b.weight",), "weights of b Linear."),
    ],
)
def test_of_several_in_one_step_the_one_that_came_first_is_named(quantity, sources, where):
    run = nni.Run("made", {"model": "M", "modules": {"": "M", "a": "Linear", "b": "Linear"}})
    run.record([Measurement(7, quantity, source, np.inf) for source in sources])
    run.steps = 8
    assert PANEL.picture(run, Selection()).note.startswith(f"First seen at step 7: {where}")
