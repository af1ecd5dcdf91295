"""Curves are told apart without their colours: live, in the static picture, and in the legend."""

import re
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

import nn_inspector as nni
from nn_inspector.history import Chart, Curve, row_labels
from nn_inspector.panels.chart_image import draw
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.learning_rate import MOST_GROUPS
from nn_inspector.panels.legend import legend_html
from nn_inspector.panels.looks import LEVEL, LOOKS, look_of, sign_of
from nn_inspector.panels.metrics import MOST_METRICS
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, blobs

LAYER = "2"


@pytest.fixture(scope="module")
def run():
    """A training in which panels show as many curves as they ever do."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, CLASSES, bias=False)
    )
    groups = [{"params": [p], "lr": 0.1 / (1 + place)} for place, p in enumerate(model.parameters())]
    optimizer, loss_fn = torch.optim.SGD(groups, lr=0.1, weight_decay=1e-2), nn.CrossEntropyLoss()
    x, y = blobs(64).tensors
    with nni.watch(model, optimizer, loss_fn, every=1, probes="full") as inspector:
        for _ in range(6):
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            inspector.log(**{f"metric_{place}": place for place in range(MOST_METRICS)})
            inspector.validation(loss=1.0, **{f"metric_{place}": place for place in range(MOST_METRICS)})
    found = inspector.run
    for quantity, source in (("activation_nonfinite", "0"), ("weight_norm", "2.weight"), ("gradient_norm", "4.weight")):
        found.record([Measurement(6, quantity, source, float("inf"))])
    found.record([Measurement(5, "dead_units", "1", 0.5), Measurement(5, "saturated_units", "3", 0.25)])
    for step in (2, 4):
        found.record([Measurement(step, "loss", "validation", 1.0 / step)])
    found.record([Measurement(step, "data_seconds", "train", 0.01) for step in range(6)])
    return found


def signs(chart):
    """Of the entries of a legend that stand for a curve, a level or a band."""
    entries = re.findall(r'<span aria-hidden="true"[^>]*>(.*?)</span> ([^<]*)', legend_html(chart))
    return {text: sign for sign, text in entries if not text.startswith("step ")}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_no_two_entries_of_a_legend_share_a_sign(panel, run):
    chart = panel.chart(run, Selection(layer=LAYER))
    if chart.kind == "matrix":
        return
    found = signs(chart)
    assert len(found) >= len(chart.series)
    assert len(set(found.values())) == len(found), found


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("gradient_norm", 4),
        ("learning_rate", MOST_GROUPS),
        ("metrics", 2 * MOST_METRICS),
        ("speed", 4),
        ("update_history", 4),
        ("idle_units", 2),
        ("nonfinite_map", 3),
    ],
)
def test_panels_of_several_curves_give_each_a_mark_of_its_own(name, many, run):
    chart = next(panel for panel in PANELS if panel.name == name).chart(run, Selection(layer=LAYER))
    assert len(chart.series) >= many
    shown = [mark for mark in ChartWidget(chart)._marks if mark.visible]
    looks = {(mark.line_style, mark.stroke_width, mark.marker) for mark in shown}
    assert len(looks) == len(shown) == len(chart.series)


@pytest.mark.parametrize(("kind", "role"), [(kind, role) for kind in LOOKS for role in LOOKS[kind]])
def test_curves_differ_in_both_pictures_as_long_as_there_are_looks(kind, role):
    many = len(LOOKS[kind][role])
    series = {f"c{place}": Curve(np.arange(3.0), np.arange(3.0) + place, role) for place in range(many)}
    chart = Chart(kind, "step", "value", series, row_labels("abc") if kind != "lines" else ())
    assert [look_of(chart, name) for name in series] == list(LOOKS[kind][role])
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes, chart)
    static = {(line.get_linestyle(), line.get_linewidth(), line.get_marker()) for line in axes.lines}
    assert len(static) == (many if axes.lines else 0)


def test_no_look_is_that_of_another_role_or_of_a_level():
    for kind in LOOKS:
        looks = [look for of_role in LOOKS[kind].values() for look in of_role]
        assert len({sign_of(look) for look in [*looks, LEVEL]}) == len(looks) + 1
    for one, other in combinations(LOOKS["lines"]["main"], 2):
        assert one.line != other.line or abs(one.width - other.width) >= 2


def test_a_place_among_the_colours_is_kept_when_others_go():
    curves = {name: Curve(np.arange(2.0), np.ones(2), colour=place) for place, name in enumerate("abc")}
    both = Chart("lines", "step", "value", curves)
    alone = Chart("lines", "step", "value", {"c": curves["c"]})
    assert look_of(both, "c") == look_of(alone, "c")


def test_two_of_the_same_place_or_more_than_there_are_looks_are_drawn_all_the_same():
    many = len(LOOKS["lines"]["main"]) + 2
    curves = {f"c{place}": Curve(np.arange(2.0), np.ones(2), colour=0) for place in range(many)}
    chart = Chart("lines", "step", "value", curves)
    assert look_of(chart, "c0") != look_of(chart, "c1")
    shown = [mark for mark in ChartWidget(chart)._marks if mark.visible]
    assert sum(len(np.atleast_2d(mark.y)) for mark in shown) == many
