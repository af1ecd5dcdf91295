import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.history import Chart, Curve
from nn_inspector.history.differences import differences
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.comparison import Comparison, static_html
from nn_inspector.panels.comparison_charts import change, losses
from nn_inspector.panels.comparison_html import MOST_CHANGES, changes_html, differences_html, headline_html
from nn_inspector.panels.comparison_runs import MOST_RUNS, ComparedRuns, compared_runs
from nn_inspector.probes import Measurement
from tests.trainings import classifier


def run_of(name="made", steps=80, at=None, **parameters):
    """A run whose loss, and before it the gradient of layer 2, grows at a step."""
    run = nni.Run(name, {"model": "M", "modules": {"2": "Linear"}, **parameters})
    rng = np.random.default_rng(0)
    for step in range(steps):
        late, grown = at is not None and step >= at + 2, at is not None and step >= at
        loss, norm = rng.uniform(0.9, 1.1) * (40 if late else 1), rng.uniform(0.1, 0.2) * (900 if grown else 1)
        run.record([Measurement(step, "loss", "train", loss), Measurement(step, "gradient_norm", "2.weight", norm)])
    run.record([Measurement(steps - 1, "loss", "validation", 1.5)])
    run.steps = steps
    return run


SOUND, BROKEN = run_of("sound", lr=0.1), run_of("broken", at=50, lr=10.0)


@pytest.fixture
def comparison():
    view = nni.compare([SOUND, BROKEN])
    yield view
    view.close()


# what is given


def test_runs_come_as_runs_inspectors_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, run="first") as inspector:
        case.run(1)
    given = compared_runs([SOUND, inspector, "first", tmp_path / "nn_inspector_runs" / "first.sqlite"])
    assert given.names == ("1 sound", "2 first", "3 first", "4 first")
    assert [run.steps for run in given.runs] == [80, 6, 6, 6]
    assert given.reference == 0
    assert compared_runs([SOUND, inspector], "first").reference == 1


def test_the_reference_may_be_one_of_them_or_another_or_a_stretch():
    assert compared_runs([BROKEN, SOUND], SOUND).reference == 1
    other = compared_runs([BROKEN], SOUND)
    assert (other.names, other.reference) == (("1 sound", "2 broken"), 0)
    for stretch in (range(10, 40), (10, 40)):
        given = compared_runs(BROKEN, stretch)
        assert (given.reference, given.reference_name) == (range(10, 40), "steps 10 to 39")


@pytest.mark.parametrize(
    ("runs", "reference", "said"),
    [
        ([], None, "runs: expected runs, inspectors or run files, got an empty list. For example"),
        (3, None, "runs: expected runs, inspectors or run files, got an int. For example"),
        ([SOUND, 3], None, "runs: expected a run, an inspector or a run file, got an int. For example"),
        ([SOUND], None, "runs: expected two runs, or one and a sound stretch of it, got one run. For example"),
        ([SOUND, BROKEN], 3.5, "reference: expected a run, an inspector or a run file, got a float."),
        (SOUND, range(40, 10), "reference: expected a run or a stretch of steps, got range(40, 10). For example"),
        (SOUND, (1, 2, 3), "reference: expected a run or a stretch of steps, got (1, 2, 3). For example"),
        (SOUND, range(10, 80), "reference: expected a stretch with steps after it, got steps 10 to 80 of 80."),
    ],
)
def test_what_cannot_be_compared_is_said(runs, reference, said):
    with pytest.raises(nni.ArgumentError) as error:
        nni.compare(runs, reference=reference)
    assert said in str(error.value)


def test_a_file_that_is_none_is_said():
    with pytest.raises(nni.RunFileError, match=r"nothing\.sqlite"):
        nni.compare([SOUND, "nothing.sqlite"])


def test_more_runs_than_colours_are_left_out_and_counted():
    given = compared_runs([SOUND] * (MOST_RUNS + 3))
    assert (len(given.runs), given.left_out) == (MOST_RUNS, 3)
    assert "3 more runs are not shown." in losses(given, log=False).note


# pictures


def test_the_curves_of_a_run_have_one_colour_and_a_number_at_their_end():
    chart = losses(compared_runs([SOUND, BROKEN]), log=True)
    assert list(chart.series) == ["1 sound, train", "1 sound, validation", "2 broken, train", "2 broken, validation"]
    assert [(one.colour, one.sign, one.role) for one in chart.series.values()] == [
        (0, "1", "main"), (0, "1", "points"), (1, "2", "main"), (1, "2", "points"),
    ]  # fmt: skip
    widget = ChartWidget(chart)
    shown = [mark for mark in widget._marks if mark.visible]
    assert [mark.labels for mark in shown] == [["1"], ["2"], ["1"], ["2"]]
    assert {mark.labels_visibility for mark in shown} == {"label"}
    assert shown[0].colors != shown[1].colors
    assert widget.children[1].axes[0].scale.max > 79


@pytest.mark.parametrize("log", [True, False])
def test_a_curve_that_ends_in_nan_has_its_number_where_it_was_last_seen(log):
    curves = {"a": Curve(np.arange(4.0), np.array([1.0, 2.0, np.nan, np.nan]), sign="1"),
              "b": Curve(np.arange(2.0), np.array([3.0, 0.0 if log else np.inf]), sign="2"),
              "c": Curve(np.arange(2.0), np.array([np.nan, np.nan]), sign="3")}  # fmt: skip
    chart = Chart("lines", "step", "loss", curves, log=log)
    marks = [mark for mark in ChartWidget(chart)._marks if mark.visible]
    assert [mark.labels for mark in marks] == [["1"], ["2"]]
    assert all(np.isfinite(mark.y[-1]) for mark in marks)
    assert png([("a", chart)]).startswith(b"\x89PNG")


def test_a_loss_that_explodes_is_cut_and_said_so():
    plain, log = (losses(compared_runs([SOUND, BROKEN]), log=log) for log in (False, True))
    assert 4 < plain.top < 6
    assert "A loss has exploded" in plain.note
    assert log.top is None


def test_the_reference_is_drawn_behind_and_the_step_is_marked():
    compared = compared_runs([SOUND, BROKEN])
    first = compared.changes()[1][0]
    chart = change(compared, 1, first)
    assert {name: one.role for name, one in chart.series.items()} == {"1 sound": "faint", "2 broken": "main"}
    assert chart.events == ((50.0, "left the range"),)
    assert (chart.y_label, chart.log) == ("gradient norm of 2", True)
    stretch = compared_runs(BROKEN, range(10, 40))
    chart = change(stretch, 0, stretch.changes()[0][0])
    assert list(chart.series) == ["1 broken"]
    assert chart.band is not None
    assert chart.band[2] == "steps 10 to 39"
    assert png([("a", chart)]).startswith(b"\x89PNG")


# words


def test_what_changed_first_is_named_with_its_evidence():
    compared = compared_runs([SOUND, BROKEN])
    html = headline_html(compared, compared.changes())
    assert "<b>2 broken</b> left the range of 1 sound first in <b>gradient norm of 2: " in html
    assert "at step 50, where the reference lies between 0.1" in html
    alike = compared_runs([SOUND, run_of("again")])
    html = headline_html(alike, alike.changes())
    assert "<b>2 again</b> stays within the range of 1 sound. Compared: loss, gradient norm." in html
    short = compared_runs(SOUND, range(3))
    assert "cannot be compared with steps 0 to 2: nothing was" in headline_html(short, short.changes())


def test_where_it_is_no_layer_the_first_layer_is_named_too():
    run = nni.Run("late", {"model": "M"})
    run.record(Measurement(step, "loss", "train", 50.0 if step >= 40 else 1.0) for step in range(100))
    run.record(Measurement(step, "gradient_norm", "2.weight", 50.0 if step > 40 else 1.0) for step in range(0, 100, 5))
    run.steps = 100
    compared = compared_runs(run, range(5, 35))
    html = headline_html(compared, compared.changes())
    assert "first in <b>loss: 50 at step 40" in html
    assert "The first layer, somewhere between steps 41 and 45: gradient norm of 2: 50 at step 45" in html


def test_differences_are_a_table_and_more_than_one_is_advised_against():
    assert "<b>One thing differs.</b>" in differences_html(("1 a", "2 b"), differences([SOUND, BROKEN]))
    html = differences_html(("1 a", "2 b"), differences([SOUND, run_of("other", lr=1, momentum=0.9)]))
    assert "<b>2 things differ.</b> Change one at a time" in html
    assert 'scope="col"' in html
    assert "Nothing in their parameters differs" in differences_html(("1 a", "2 a"), differences([SOUND, SOUND]))
    assert differences_html(("1 a",), []) == ""


def test_a_long_list_is_cut_and_said_so():
    (found,) = compared_runs([SOUND, BROKEN]).changes().values()
    html = changes_html([found[0]] * (MOST_CHANGES + 2))
    assert html.count("<tr>") == MOST_CHANGES + 1
    assert "2 more are not listed." in html
    assert changes_html([]) == ""


# the view


def test_the_view_shows_what_changed_and_lets_one_choose(comparison):
    assert isinstance(comparison, Comparison)
    assert comparison.pick.options == ("gradient norm of 2, step 50", "loss, step 52")
    assert comparison._change._shown.y_label == "gradient norm of 2"
    comparison.pick.index = 1
    assert comparison._change._shown.y_label == "loss"
    comparison._log.value = True
    assert comparison._loss._shown.log
    assert "lr" in comparison._differences.value


def test_runs_that_agree_have_nothing_to_choose():
    view = nni.compare([SOUND, run_of("again")])
    assert view.pick.layout.display == "none"
    assert "Nothing left the range of the reference." in view._change.children[0].value
    assert view._change.children[1].layout.visibility == "hidden"


def test_runs_that_go_on_are_read_again():
    grows = run_of("grows", steps=40)
    view = nni.compare([SOUND, grows])
    assert view.pick.options == ()
    grows.record(Measurement(step, "loss", "train", 99.0) for step in range(40, 200))
    grows.steps = 200
    view._again.click()
    assert view.pick.options == ("loss, step 40",)
    assert max(view._loss._shown.series["2 grows, train"].x) == 199
    assert view._loss._axes.x.scale.max > 199
    assert view._change._shown.y_label == "loss"


def test_the_picture_that_stays_has_the_same_words_and_no_markup_of_others():
    view = Comparison(ComparedRuns((SOUND, run_of("<script>x</script>", at=30, lr="<i>")), 0))
    html = static_html(view._compared, view._changes, view._headline.value + view._differences.value)
    assert 'src="data:image/png;base64,' in html
    assert "gradient norm of 2" in html
    assert "<script>" not in html
    assert "<i>" not in html
    assert "http" not in html


def test_runs_without_a_step_are_borne():
    empty = nni.Run("empty", {})
    view = nni.compare([empty, nni.Run("other", {})])
    assert "No step yet." in view._loss.children[0].value
    assert "cannot be compared" in view._headline.value
    assert "<img" in static_html(view._compared, view._changes, "")
    with pytest.raises(nni.ArgumentError, match="a stretch with steps after it"):
        nni.compare(empty, reference=range(5))
