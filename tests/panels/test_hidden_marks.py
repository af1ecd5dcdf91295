"""What a chart no longer shows leaves no numbers behind: bqplot's axes reach as far as those of hidden marks."""

import numpy as np
import pytest

from nn_inspector.history import Chart, Curve, row_labels
from nn_inspector.panels.chart_widget import ChartWidget


def curve(last, role="main"):
    return Curve(np.arange(last, dtype=np.float64), np.linspace(1.0, 2.0, last), role=role)


def reach(widget):
    """The largest number of all marks along x."""
    marks = [*widget._marks, widget._levels, widget._band]
    return max(float(np.nanmax(mark.x)) for mark in marks if not np.isnan(mark.x).all())


def test_an_axis_of_small_numbers_is_not_stretched_by_what_was_never_shown():
    def rows(values, **options):
        items = Curve(np.arange(float(len(values))), np.array(values), role="marks")
        return Chart("rows", "loss", "", {"items": items}, labels=row_labels(["first", "second"]), **options)

    widget = ChartWidget(rows([0.01, 0.15]))
    assert reach(widget) == 0.15
    widget.update(rows([2.0, 3.0], levels={"chance": 4.0}))
    assert reach(widget) == 4.0
    widget.update(rows([0.01, 0.15]))
    assert reach(widget) == 0.15
    widget.close()


LONG = {
    "points": Chart("lines", "step", "loss", {"train": curve(100), "validation": curve(100, "points")}),
    "a level": Chart("lines", "step", "loss", {"train": curve(100)}, levels={"chance": 2.3}),
    "a band": Chart("lines", "step", "loss", {"train": curve(100)}, band=(1.0, 1.5, "usual")),
}


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
def test_an_axis_ends_where_what_is_shown_ends(long):
    widget = ChartWidget(long)
    assert reach(widget) == 99
    widget.update(Chart("lines", "step", "loss", {"train": curve(9)}))
    assert reach(widget) == 8
    assert not widget._levels.visible
    assert not widget._band.visible
    widget.update(long)
    assert reach(widget) == 99
    widget.close()
