"""What is said of a chart to those who do not see it."""

import re

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.history import Chart, Curve, Heat, curve, row_labels
from nn_inspector.panels import loss
from nn_inspector.panels.chart_image import png_tag
from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.in_words import in_words, said_html
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement
from tests.panels.runs import EMPTY, run_of, trained

AT = np.array([0.0, 10.0, 440.0])
ROWS = row_labels(["first", "second", "third"])


def lines(series, **options):
    return Chart("lines", "step", "loss", series, **options)


@pytest.mark.parametrize(
    ("chart", "said"),
    [
        (lines({}), "nothing to show yet."),
        (lines({"a": curve([np.nan])}, note="All is NaN."), "All is NaN."),
        (lines({"a": curve([2.3])}), "loss, a: 2.3 at step 0."),
        (
            lines({"a": Curve(AT, np.array([2.3, 0.39, 0.41]))}),
            "loss, a: 2.3 at step 0, 0.41 at step 440, lowest 0.39.",
        ),
        (
            lines({"a": Curve(AT, np.array([1.0, np.inf, 0.5])), "each": curve([9.0, 8.0], "faint")}),
            "loss, a: 1 at step 0, 0.5 at step 440.",
        ),
        (lines({"each": curve([9.0, 8.0], "faint")}), "loss, each: 9 at step 0, 8 at step 1."),
        (
            lines({name: curve([1.0]) for name in "abcde"}, levels={"chance": 2.3026}),
            "loss, a: 1 at step 0; b: 1 at step 0; c: 1 at step 0; and 2 more curves; chance is 2.3.",
        ),
        (
            lines({"a": curve([1.0])}, events=((0.0, "loss_spike"),)),
            "loss, a: 1 at step 0; found at step 0: loss_spike.",
        ),
        (
            Chart("lines", "epoch", "", {"a": curve([1.0, 3.0, 2.0])}),
            "a: 1 at epoch 0, 2 at epoch 2, highest 3.",
        ),
        (
            Chart("rows", "norm", "", {"now": curve([1.0, 0.1, np.nan], "points")}, ROWS),
            "norm, 3 rows; now: greatest 1 at first, least 0.1 at second.",
        ),
        (Chart("rows", "norm", "", {"now": curve([2.0, 2.0, 2.0])}, ROWS), "norm, 3 rows; now: 2 in all."),
        (Chart("rows", "norm", "", {"now": curve([2.0])}, ROWS[:1]), "norm, 1 row; now: 2."),
        (
            Chart(
                "rows", "norm", "", {"now": curve([2.0, 1.0])}, ROWS[:2], layers=("h.0", "h.1"), found=((1.0, "dead"),)
            ),
            "norm, 2 rows; now: greatest 2 at first, least 1 at second; found at h.1: dead.",
        ),
        (Chart("rows", "size", "", {}, ROWS[:1], remarks=("ran",)), "size, 1 row."),
        (
            Chart("bars", "output", "share", {"now": curve([0.1, 0.7, 0.2])}, ((0.0, "-1"), (2.0, "1"))),
            "output, now: highest at about -1.",
        ),
        (Chart("bars", "output", "share", {"now": curve([0.1, 0.7])}), "output, now: highest at 1."),
        (
            Chart(
                "rows",
                "step",
                "layer",
                {},
                ROWS,
                heat=Heat(np.array([[1.0, 9.0], [5.0, 2.0], [3.0, np.nan]]), 20.0, 0.0, 9.0, "norm"),
            ),
            "layer, 3 rows; norm, now: greatest 9 at first, least 2 at second.",
        ),
        (
            Chart(
                "rows",
                "units",
                "layer",
                {},
                ROWS[:2],
                heat=Heat(np.array([[1.0, 0.0], [np.nan, np.nan]]), 20.0, 0.0, 1.0, "share"),
            ),
            "layer, 2 rows; share, on average: 0.5.",
        ),
        (Chart("matrix", "guess", "truth", {}, matrix=np.eye(2)), "a table of truth by guess."),
    ],
)
def test_a_chart_in_one_sentence(chart, said):
    assert in_words(chart) == said


@pytest.mark.parametrize("run", [EMPTY, trained(probes="full").run], ids=["empty", "trained"])
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_can_be_put_into_words(panel, run):
    said = in_words(panel.chart(run, Selection()))
    assert said
    assert len(said) < 500
    assert not re.search(r"nan|inf\b|None", said)


def test_a_long_curve_begins_and_ends_with_its_own_values():
    values = np.full(5000, 1.0)
    values[[0, 1, 2500, 4998, 4999]] = 2.3, 0.1, 9.0, 0.2, 0.41
    chart = loss.picture(run_of("loss", values), Selection())
    each = lines({"each": chart.series["train, each step"]})
    assert in_words(each) == "loss, each: 2.3 at step 0, 0.41 at step 4,999, lowest 0.1, highest 9."
    assert len(chart.series["train, each step"].x) <= loss.MOST_POINTS


def test_names_of_strangers_are_no_markup():
    html = said_html([("<b>", lines({"<i>": curve([1.0])}))])
    assert "<b>" not in html
    assert "<i>" not in html
    assert said_html([]) == ""
    assert 'alt="a &quot;b&quot; &lt; c"' in png_tag(b"", 'a "b" < c')


def test_a_dashboard_says_it_in_the_message_of_its_numbers():
    run = nni.Run("made", {"model": "M"})
    run.record([Measurement(0, "loss", "train", 2.0)])
    run.steps = 1
    view = run.dashboard()
    said = re.findall("<li>(.*?)</li>", view._header.value)
    assert [text.split(":")[0] for text in said] == [panel.title for panel in view._choice.chosen]
    assert said[0] == "Loss: loss, train, smoothed: 2 at step 0."
    run.record([Measurement(1, "loss", "train", 1.0)])
    run.steps = 2
    view.refresh()
    assert "at step 1" in re.findall("<li>(.*?)</li>", view._header.value)[0]
    view._time.slider.value = 0
    assert re.findall("<li>(.*?)</li>", view._header.value)[0] == said[0]
    view.close()
