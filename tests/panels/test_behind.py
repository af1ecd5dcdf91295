"""Other runs behind the one that is shown."""

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.history import Chart, Curve
from nn_inspector.panels.behind import MOST_CURVES, Behind
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.looks import look_of
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.probes import Measurement
from tests.trainings import classifier

LOSS = next(panel for panel in PANELS if panel.name == "loss")


def run_of(values, name="made", quantity="loss", source="train"):
    run = nni.Run(name, {"model": "M"})
    run.record([Measurement(step, quantity, source, float(value)) for step, value in enumerate(values)])
    run.steps = len(values)
    return run


def grey(chart, name="sound"):
    return {key.removeprefix(f"{name}: "): curve for key, curve in chart.series.items() if key.startswith(f"{name}: ")}


@pytest.mark.parametrize(
    ("panel", "quantity", "source", "curve"),
    [
        ("loss", "loss", "train", "train, smoothed"),
        ("loss", "loss", "validation", "validation"),
        ("metrics", "accuracy", "train", "accuracy, train"),
        ("gradient_norm", "gradient_norm", "0.weight", "all, smoothed"),
    ],
)
def test_its_curves_are_drawn_in_grey_as_far_as_the_run_that_is_shown_has_come(panel, quantity, source, curve):
    panel = next(one for one in PANELS if one.name == panel)
    behind = Behind([run_of(range(1, 31), "sound", quantity, source)])
    chart = panel.chart(run_of(range(1, 11), "mine", quantity, source), Selection(behind=behind))
    drawn = grey(chart)[curve]
    assert drawn.role == "faint"
    assert drawn.x.tolist() == list(range(10))
    shown = [mark for mark in ChartWidget(chart)._marks if mark.visible]
    assert len({(mark.line_style, mark.stroke_width, mark.marker) for mark in shown}) == len(shown)
    assert len(shown) == sum(len(curve.x) > 0 for curve in chart.series.values())
    assert grey(panel.chart(nni.Run("new", {"model": "M"}), Selection(behind=behind))) == {}


def test_panels_that_show_one_state_have_nothing_behind():
    comparable = {panel.name for panel in PANELS if panel.comparable}
    assert comparable == {"loss", "metrics", "gradient_norm"}


@pytest.mark.parametrize(
    ("values", "log", "top", "said"),
    [([3.0, 2.0], False, None, False), ([3.0, 1e30], False, 10.0, True), ([3.0, 1e30], True, None, False)],
)
def test_a_run_behind_that_explodes_does_not_press_the_other_together(values, log, top, said):
    behind = Behind([run_of(values, "sound")])
    chart = LOSS.chart(run_of([2.0, 1.0], "mine"), Selection(log_loss=log, behind=behind))
    assert chart.top == top
    assert ("sound goes beyond the picture, which ends at 10." in chart.note) == said


def test_of_many_curves_the_first_are_drawn_and_the_others_counted():
    curves = {f"c{place}": Curve(np.arange(3.0), np.ones(3)) for place in range(MOST_CURVES + 2)}
    panel = Panel("own", "Own", "", lambda run, selection: Chart("lines", "step", "x", curves), comparable=True)
    chart = panel.chart(run_of([1.0] * 3), Selection(behind=Behind([run_of([1.0], "sound")])))
    assert list(grey(chart)) == [f"c{place}" for place in range(MOST_CURVES)]
    assert "2 more curves of sound are not shown." in chart.note


@pytest.mark.parametrize("names", [("first", "second"), ("first", "second", "third"), ("same", "same", "third")])
def test_several_runs_have_a_line_of_their_own_each(names):
    others = [run_of([3.0 + place] * 20, name) for place, name in enumerate(names)]
    behind = Behind(others)
    chart = LOSS.chart(run_of([2.0, 1.0], "mine"), Selection(behind=behind))
    for place, name in enumerate(behind.names):
        (curve,) = grey(chart, name).values()
        assert curve.y.tolist() == [3.0 + place] * 2
    faint = [name for name, curve in chart.series.items() if curve.role == "faint"]
    assert len({look_of(chart, name) for name in faint}) == len(faint) == 1 + len(names)
    shown = [mark for mark in ChartWidget(chart)._marks if mark.visible]
    assert len(shown) == len(chart.series)


def test_of_several_runs_it_is_the_highest_that_ends_the_picture():
    behind = Behind([run_of([9.0, 9.0], "high"), run_of([40.0, 40.0], "higher")])
    chart = LOSS.chart(run_of([2.0, 1.0], "mine"), Selection(behind=behind))
    assert chart.top == 10.0
    assert "higher goes beyond the picture, which ends at 10." in chart.note
    assert "high goes" not in chart.note


def test_it_is_looked_at_anew_only_when_it_has_gone_on():
    made = []

    def picture(run, selection):
        made.append(run.name)
        return Chart("lines", "step", "x", {"a": Curve(np.arange(float(run.steps)), np.ones(run.steps))})

    panel, other = Panel("own", "Own", "", picture, comparable=True), run_of([1.0], "sound")
    selection = Selection(behind=Behind([other]))
    for _ in range(3):
        panel.chart(run_of([1.0] * 5), selection)
    assert made.count("sound") == 1
    other.steps = 2
    assert len(grey(panel.chart(run_of([1.0] * 5), selection))["a"].x) == 2


def test_the_dashboard_draws_it_live_says_so_and_follows_the_slider(tmp_path):
    case = classifier()
    path = tmp_path / "sound.sqlite"
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, run=path):
        case.run(3)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = inspector.dashboard(compare=path)
        case.run(2)
        dashboard.refresh()
        assert len(grey(dashboard._charts["loss"].shown)["train, smoothed"].x) == inspector.run.steps == 12
    assert "in grey: run sound" in dashboard._header.value
    assert "Against sound: " in dashboard._header.value
    dashboard._time.go_to(4)
    assert grey(dashboard._charts["loss"].shown)["train, smoothed"].x.max() == 4
    assert "sound: train, smoothed" in dashboard._charts["loss"].children[0].value
    dashboard.close()


def test_a_run_is_not_compared_with_itself_nor_with_what_is_none():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, show=False) as inspector:
        for one in (inspector, inspector.run):
            with pytest.raises(nni.ArgumentError, match=r"compare: expected another run, got .* itself"):
                one.dashboard(compare=inspector)
        with pytest.raises(nni.ArgumentError, match="compare: expected a run"):
            inspector.dashboard(compare=3)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([], "expected one to 3 runs, got none"),
        ([1, 2, 3, 4], "expected one to 3 runs, got 4"),
        ([1, 1], "expected another run, got run1 twice"),
        ([1, 0], "expected another run, got run0 itself"),
    ],
)
def test_runs_that_cannot_stand_behind_are_refused(places, said):
    runs = [run_of([1.0], f"run{place}") for place in range(5)]
    with pytest.raises(nni.ArgumentError, match=f"compare: {said}"):
        runs[0].dashboard(compare=[runs[place] for place in places])


def test_a_dashboard_shows_several():
    runs = [run_of([1.0] * 5, name) for name in ("mine", "first", "second")]
    dashboard = runs[0].dashboard(compare=runs[1:])
    assert "in grey: runs first, second" in dashboard._header.value
    assert dashboard._header.value.count("Against ") == 2
    assert [bool(grey(dashboard._charts["loss"].shown, name)) for name in ("first", "second")] == [True, True]
    dashboard.close()
