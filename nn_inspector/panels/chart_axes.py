"""The axes of a chart that is drawn with bqplot: where they begin and end, what their ticks say, and the room around them."""

from __future__ import annotations

import bqplot
import ipywidgets
import numpy as np

from nn_inspector.history import Chart
from nn_inspector.panels.drawn_curves import decades
from nn_inspector.panels.style import GRID, TEXT
from nn_inspector.panels.ticks import (
    MOST_DECADES,
    Ticks,
    decade_ticks,
    set_ticks,
    side_by_side,
    step_ticks,
    value_ticks,
)

_MARGIN = {"top": 8, "bottom": 42, "left": 52, "right": 16}
_ROW_MARGIN = {**_MARGIN, "left": 148}
_REMARK_MARGIN = {**_ROW_MARGIN, "right": 132}
_MOST_SPACES, _SOME_SPACES, _FEW_SPACES = 5, 3, 2
"""Between the ticks of an axis of values that is linear or goes from left to right, and where remarks leave little room: there between
powers of ten fewer than between other numbers, of which two would often have one tick only."""

_LETTERS, _FEW_LETTERS = 28, 12
"""Of the texts of such ticks together: so many have room in a page of 480 pixels, and so few where there are remarks."""

_NOTHING = 60
"""Height of the place of a picture that has nothing to show, as its note says. Before the first step the place is kept."""

_LABEL = "var(--jp-ui-font-color1, #808080)"
"""bqplot takes no `currentColor` here."""

_ROW_HEIGHT = 15
"""Pixels that a row needs at least, so that its name can be read."""


class ChartAxes:
    """What is around the marks of one chart.

    Args:
        kind: of the chart; it stays.
        height: of the picture in pixels, where its rows need no more.

    Attributes:
        scales: for the marks.
        x, y: the axes.
        remarks: a third one, at the right end of rows.
    """

    def __init__(self, kind: str, height: int) -> None:
        self._kind = kind
        self._height = height
        self._shown: tuple[object, ...] | None = None
        self.scales: dict[str, bqplot.Scale] = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}
        if kind == "rows":
            self.scales["y"].reverse = True
        ticks = {"tick_format": ",~f"} if kind == "lines" else {}
        self.x = bqplot.Axis(scale=self.scales["x"], **{**_style(), **ticks})
        self.y = bqplot.Axis(scale=self.scales["y"], orientation="vertical", **_style())
        self.remarks = bqplot.Axis(
            scale=self.scales["y"],
            orientation="vertical",
            side="right",
            **{**_style(), "grid_lines": "none"},
            visible=False,
        )

    def figure(self, marks: list[bqplot.Mark]) -> bqplot.Figure:
        """A figure with these axes."""
        return bqplot.Figure(
            marks=marks,
            axes=[self.x, self.y, *([self.remarks] if self._kind == "rows" else [])],
            fig_margin=_ROW_MARGIN if self._kind == "rows" else _MARGIN,
            animation_duration=0,
            background_style={"fill": "transparent"},
            layout=ipywidgets.Layout(width="100%", height=f"{self._height}px", min_width="0px", margin="0px"),
        )

    def frame(self, chart: Chart, figure: bqplot.Figure) -> None:
        """What changes rarely: labels, limits, the ticks of rows and of powers of ten, the height."""
        frame = _frame(chart)
        if frame == self._shown:
            return
        self._shown = frame
        figure.layout.visibility = "hidden" if chart.empty else "visible"
        rows = len(chart.labels) if chart.kind == "rows" else 0
        height = _NOTHING if chart.empty and chart.note else max(self._height, 60 + _ROW_HEIGHT * rows)
        figure.layout.height = f"{height}px"
        self.x.visible = self.y.visible = not chart.empty  # bqplot shows its axes all the same
        values = self._values
        other = self.y if values is self.x else self.x
        self.x.label = chart.x_label
        if chart.labels:
            set_ticks(other, chart.labels)
        if chart.kind == "rows":
            self._show_remarks(chart, figure)
        if chart.log:
            low, high = decades(chart)
            most = _FEW_SPACES if chart.remarks else _MOST_SPACES if chart.kind == "rows" else MOST_DECADES
            self._set_values(chart, decade_ticks(low, high, most=most))
        with values.scale.hold_sync():
            least = 0.0 if chart.kind == "rows" and chart.top is not None else None
            values.scale.min, values.scale.max = decades(chart) if chart.log and not chart.empty else (least, chart.top)
        with other.scale.hold_sync():
            other.scale.min, other.scale.max = _extent(chart)

    def tick(self, chart: Chart) -> None:
        """What changes with each step: the ticks of steps and of values."""
        if chart.kind == "lines":
            ticks = step_ticks(max(float(np.max(curve.x, initial=0.0)) for curve in chart.series.values()))
            if not np.array_equal(ticks, self.x.tick_values):
                self.x.tick_values = ticks
        if not chart.log:
            most = _SOME_SPACES if chart.remarks else _MOST_SPACES
            self._set_values(chart, value_ticks(*_reach(chart), most=most))

    @property
    def _values(self) -> bqplot.Axis:
        return self.x if self._kind == "rows" else self.y

    def _set_values(self, chart: Chart, ticks: Ticks) -> None:
        """Ticks above each other have room whatever they say."""
        if self._kind == "rows":
            ticks = side_by_side(ticks, letters=_FEW_LETTERS if chart.remarks else _LETTERS)
        set_ticks(self._values, ticks)

    def _show_remarks(self, chart: Chart, figure: bqplot.Figure) -> None:
        """What stands at the right end of the rows."""
        if chart.remarks:
            set_ticks(self.remarks, enumerate(chart.remarks))
        self.remarks.visible = bool(chart.remarks)
        figure.fig_margin = _REMARK_MARGIN if chart.remarks else _ROW_MARGIN


def _frame(chart: Chart) -> tuple[object, ...]:
    limits = decades(chart) if chart.log and not chart.empty else chart.top
    return (
        chart.empty,
        chart.empty and bool(chart.note),
        chart.labels,
        chart.remarks,
        tuple(chart.series),
        limits,
        chart.x_label,
        tuple(chart.levels.items()),
        chart.band,
        chart.events,
        _extent(chart),
    )


def _reach(chart: Chart) -> tuple[float, float]:
    """From where to where a linear axis of values goes: 0 is always there."""
    parts = [np.asarray(curve.y, dtype=np.float64) for curve in chart.series.values()]
    values = np.concatenate([*parts, np.array([0.0, *chart.levels.values()])])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max()) if chart.top is None else chart.top
    return (0.0 if chart.kind == "rows" and chart.top is not None else low), high


def _extent(chart: Chart) -> tuple[float | None, float | None]:
    """Limits of the axis that values are shown over: half a place beyond the outer rows or bars; lines begin at 0."""
    if chart.kind == "lines":
        signed = [curve.x[-1] for curve in chart.series.values() if curve.sign and len(curve.x)]
        last = max((curve.x[-1] for curve in chart.series.values() if len(curve.x)), default=0.0)
        return 0.0, 1.05 * max(signed) if signed else 1.0 if last < 1 else None
    rows = len(chart.labels) if chart.kind == "rows" else 0
    if chart.heat is not None:
        rows = len(chart.heat.values)
    places = rows or max((len(curve.x) for curve in chart.series.values()), default=1)
    return -0.5, places - 0.5


def _style() -> dict[str, object]:
    return {
        "grid_color": GRID,
        "color": "rgba(128, 128, 128, 0.6)",
        "label_color": _LABEL,
        "tick_style": {"fill": TEXT, "font-size": "11px"},
        "tick_format": ".3~g",
    }
