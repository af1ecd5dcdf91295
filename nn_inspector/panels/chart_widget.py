"""Draws a chart with bqplot, and updates it in place.

The rules behind it are measured (see docs/live.md): all marks exist from the start, each update is one message a mark,
arrays are fresh, contiguous, float64 and finite or NaN, and logarithms are taken here, because one zero on a
logarithmic scale of bqplot blanks the plot.
"""

from __future__ import annotations

from collections.abc import Callable

import bqplot
import ipywidgets
import numpy as np

from nn_inspector.history import Chart, Curve
from nn_inspector.panels.clickable_rows import ClickableRows
from nn_inspector.panels.drawn_curves import decades, drawn_values, finite, only, padded, staircase, with_an_end
from nn_inspector.panels.event_marks import EventMarks
from nn_inspector.panels.legend import colour_of, legend_html, note_html
from nn_inspector.panels.row_pictures import pictures_html
from nn_inspector.panels.style import BACK, COLOURS, FAINT, GRID, TEXT
from nn_inspector.panels.ticks import decade_ticks, set_ticks, step_ticks, value_ticks

_MAIN, _FAINT, _POINTS, _MARKS = range(4)
_WITH_MARKERS = ("points", "marks")
_MARGIN = {"top": 8, "bottom": 42, "left": 52, "right": 16}
_ROW_MARGIN = {**_MARGIN, "left": 148}
_REMARK_MARGIN = {**_ROW_MARGIN, "right": 132}
_MOST_SPACES, _FEW_SPACES = 5, 2
"""Between the ticks of a linear axis of values, and of any where remarks leave little room."""

_ROW_HEIGHT = 15
"""Pixels that a row needs at least, so that its name can be read."""


class ChartWidget(ipywidgets.VBox):
    """A chart on screen.

    Args:
        chart: what to show first; it settles the kind, which stays.
        height: of the picture, in pixels.
        empty: what to say while there is nothing to draw.
        on_layer: called with the layer whose row was clicked.
        on_event: called with what is marked on the axis when its mark is clicked.
    """

    def __init__(
        self,
        chart: Chart,
        *,
        height: int = 230,
        empty: str = "No step yet.",
        on_layer: Callable[[str], None] | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        self._kind = chart.kind
        self._empty = empty
        self._shown: Chart | None = None
        scales = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}
        if chart.kind == "rows":
            scales["y"].reverse = True
        self._band = bqplot.Lines(
            x=[0.0, 1.0], y=[[0.0, 0.0], [0.0, 0.0]], scales=scales, fill="between", stroke_width=0, visible=False,
            fill_opacities=[0.15, 0.15], fill_colors=[COLOURS[2], COLOURS[2]], colors=["transparent"],
        )  # fmt: skip
        self._levels = bqplot.Lines(
            x=[0.0], y=[0.0], scales=scales, colors=[FAINT], line_style="dashed", stroke_width=1.5
        )
        self._marks = [self._mark(role, scales) for role in (_FAINT, _MAIN, _POINTS, _MARKS)]
        self._rows = ClickableRows(on_layer)
        self._events = EventMarks(scales["x"], on_event)
        on_top = {"rows": [self._rows], "lines": [self._events]}.get(chart.kind, [])
        ticks = {"tick_format": ",~f"} if chart.kind == "lines" else {}
        self._x_axis = bqplot.Axis(scale=scales["x"], **{**_axis_style(), **ticks})
        self._y_axis = bqplot.Axis(scale=scales["y"], orientation="vertical", **_axis_style())
        self._remarks = bqplot.Axis(
            scale=scales["y"],
            orientation="vertical",
            side="right",
            **{**_axis_style(), "grid_lines": "none"},
            visible=False,
        )
        self._figure = bqplot.Figure(
            marks=[self._band, *self._marks, self._levels, *on_top],
            axes=[self._x_axis, self._y_axis, *([self._remarks] if chart.kind == "rows" else [])],
            fig_margin=_ROW_MARGIN if chart.kind == "rows" else _MARGIN,
            animation_duration=0,
            background_style={"fill": "transparent"},
            layout=ipywidgets.Layout(width="100%", height=f"{height}px", min_width="0px", margin="0px"),
        )
        self._height = height
        self._legend = ipywidgets.HTML()
        self._note = ipywidgets.HTML()
        super().__init__([self._legend, self._figure, self._note], layout=ipywidgets.Layout(overflow="hidden"))
        self.add_class("nni-chart")
        self.update(chart)

    def update(self, chart: Chart) -> None:
        """Show another state of the same picture."""
        if self._shown is None or _frame(chart) != _frame(self._shown) or chart.empty != self._shown.empty:
            self._set_frame(chart)
        self._shown = chart
        words = note_html(chart.note or (self._empty if chart.empty else ""))
        self._legend.value = words if chart.empty else legend_html(chart)
        self._note.value = "" if chart.empty else pictures_html(chart) + words
        self._rows.show(chart.layers, chart.chosen)
        self._events.show(chart.events)
        if chart.empty:
            return
        names = list(chart.series)
        for mark, roles in zip(self._marks, (("faint",), ("main",), ("points",), ("marks",)), strict=True):
            chosen = [name for name in names if chart.series[name].role in roles]
            curves = [(colour_of(chart, name), chart.series[name]) for name in chosen]
            self._draw(mark, chart, curves)
        self._draw_levels(chart)
        if chart.kind == "lines":
            self._set_steps(max(float(np.max(curve.x, initial=0.0)) for curve in chart.series.values()))
        if not chart.log:
            most = _FEW_SPACES if chart.remarks else _MOST_SPACES
            set_ticks(self._value_axis, value_ticks(*_reach(chart), most=most))

    def close(self) -> None:
        """Close the widget and everything it consists of."""
        for part in (*self._figure.marks, *self._figure.axes, self._figure, self._legend, self._note):
            part.close()
        super().close()

    @property
    def _value_axis(self) -> bqplot.Axis:
        return self._x_axis if self._kind == "rows" else self._y_axis

    def _mark(self, role: int, scales: dict[str, bqplot.Scale]) -> bqplot.Mark:
        options: dict[str, object] = {}
        if role in (_POINTS, _MARKS):
            options = {"marker": "circle", "marker_size": 40 if role == _POINTS else 32}
        if self._kind == "bars" and role == _MAIN:
            # A filled staircase: bqplot's Bars widen their axis by a width taken from whatever they showed first.
            options |= {"interpolation": "step-after", "fill": "bottom", "fill_opacities": [0.6]}
        return bqplot.Lines(
            x=[0.0],
            y=[0.0],
            scales=scales,
            stroke_width={_FAINT: 1.5, _MARKS: 0}.get(role, 2),
            visible=False,
            **options,
        )

    def _draw(self, mark: bqplot.Mark, chart: Chart, curves: list[tuple[str, Curve]]) -> None:
        if chart.kind == "rows" or any(curve.role in _WITH_MARKERS for _, curve in curves):
            curves = [(colour, finite(curve, chart.log)) for colour, curve in curves]
        elif chart.kind == "lines":
            curves = [(colour, with_an_end(curve, chart.log)) for colour, curve in curves]
        opacities = [BACK if chart.chosen else 1.0] * len(curves)
        if chart.chosen and any(curve.role in _WITH_MARKERS for _, curve in curves):
            curves += [(colour, only(curve, chart.chosen)) for colour, curve in curves]
            opacities += [1.0] * len(opacities)
        opacities = [opacity for opacity, (_, curve) in zip(opacities, curves, strict=True) if len(curve.x)]
        curves = [(colour, curve) for colour, curve in curves if len(curve.x)]
        if not curves:
            mark.visible = False
            return
        if chart.kind == "bars" and curves[0][1].role == "main":
            curves = [(colour, staircase(curve)) for colour, curve in curves]
        width = max(len(curve.y) for _, curve in curves)
        x = np.stack([padded(curve.x, width) for _, curve in curves])
        y = np.stack([padded(drawn_values(curve.y, chart.log), width) for _, curve in curves])
        if chart.kind == "rows":
            x, y = y, x
        with mark.hold_sync():
            mark.x, mark.y = (x[0], y[0]) if len(curves) == 1 else (x, y)
            faint = curves[0][1].role == "faint"
            mark.colors = [FAINT] * len(curves) if faint else [colour for colour, _ in curves]
            mark.opacities = opacities
            mark.labels = [curve.sign for _, curve in curves]
            mark.labels_visibility = "label" if any(mark.labels) else "none"
            if mark.fill != "none":
                mark.fill_colors = mark.colors
            mark.visible = True

    def _set_steps(self, last: float) -> None:
        ticks = step_ticks(last)
        if not np.array_equal(ticks, self._x_axis.tick_values):
            self._x_axis.tick_values = ticks

    def _draw_levels(self, chart: Chart) -> None:
        every = np.concatenate([curve.x for curve in chart.series.values()])
        ends = np.array([np.nanmin(every), np.nanmax(every)]) if len(every) else np.array([0.0, 1.0])
        if chart.kind == "rows":
            ends = np.array([-0.5, len(chart.labels) - 0.5])
        heights = [drawn_values(np.array([level, level]), chart.log) for level in chart.levels.values()]
        heights = [height for height in heights if np.isfinite(height).all()]
        with self._levels.hold_sync():
            self._levels.visible = bool(heights)
            if heights:
                across, along = np.stack([ends] * len(heights)), np.stack(heights)
                self._levels.x, self._levels.y = (along, across) if chart.kind == "rows" else (across, along)
        if chart.band is not None:
            low, high = drawn_values(np.array(chart.band[:2]), chart.log)
            if not np.isfinite(low):
                low = decades(chart)[0]  # a band from 0 begins at the bottom
            with self._band.hold_sync():
                if chart.kind == "rows":
                    self._band.x, self._band.y = np.array([low, high]), np.stack([ends[[0, 0]], ends[[1, 1]]])
                else:
                    self._band.x, self._band.y = ends, np.array([[low, low], [high, high]])
                self._band.visible = True

    def _set_frame(self, chart: Chart) -> None:
        """What changes rarely: labels, ticks, limits."""
        self._figure.layout.visibility = "hidden" if chart.empty else "visible"
        self._x_axis.visible = self._y_axis.visible = not chart.empty  # bqplot shows its axes all the same
        value_axis = self._value_axis
        other = self._y_axis if value_axis is self._x_axis else self._x_axis
        self._x_axis.label = chart.x_label
        if chart.labels:
            set_ticks(other, chart.labels)
        if chart.kind == "rows":
            self._set_rows(chart)
        if chart.log:
            low, high = decades(chart)
            set_ticks(value_axis, decade_ticks(low, high, **({"most": _FEW_SPACES} if chart.remarks else {})))
        scale = value_axis.scale
        with scale.hold_sync():
            least = 0.0 if chart.kind == "rows" and chart.top is not None else None
            scale.min, scale.max = decades(chart) if chart.log and not chart.empty else (least, chart.top)
        scale = other.scale
        with scale.hold_sync():
            scale.min, scale.max = _extent(chart)

    def _set_rows(self, chart: Chart) -> None:
        """Room for each row, and what stands at its right end."""
        self._figure.layout.height = f"{max(self._height, 60 + _ROW_HEIGHT * len(chart.labels))}px"
        if chart.remarks:
            set_ticks(self._remarks, enumerate(chart.remarks))
        self._remarks.visible = bool(chart.remarks)
        self._figure.fig_margin = _REMARK_MARGIN if chart.remarks else _ROW_MARGIN


def _frame(chart: Chart) -> tuple[object, ...]:
    limits = decades(chart) if chart.log and not chart.empty else chart.top
    return (
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
        return 0.0, 1.05 * max(signed) if signed else None
    rows = len(chart.labels) if chart.kind == "rows" else 0
    places = rows or max((len(curve.x) for curve in chart.series.values()), default=1)
    return -0.5, places - 0.5


def _axis_style() -> dict[str, object]:
    return {
        "grid_color": GRID,
        "color": "rgba(128, 128, 128, 0.6)",
        "label_color": TEXT,
        "tick_style": {"fill": TEXT, "font-size": "11px"},
        "tick_format": ".3~g",
    }
