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

from nn_inspector.history import Chart, Curve, Role
from nn_inspector.panels.chart_axes import ChartAxes
from nn_inspector.panels.clickable_rows import ClickableRows
from nn_inspector.panels.drawn_curves import decades, drawn_values, finite, only, padded, staircase, with_an_end
from nn_inspector.panels.event_marks import EventMarks
from nn_inspector.panels.heat_mark import HeatMark
from nn_inspector.panels.legend import alert_html, colour_of, legend_html, note_html
from nn_inspector.panels.looks import LEVEL, LOOKS, Look, look_of
from nn_inspector.panels.row_marks import RowMarks
from nn_inspector.panels.row_pictures import pictures_html
from nn_inspector.panels.style import BACK, COLOURS, FAINT

_SIZES: dict[Role, int] = {"points": 40, "marks": 32}
"""Of markers, in square pixels."""

_WITH_MARKERS = ("points", "marks")


class ChartWidget(ipywidgets.VBox):
    """A chart on screen.

    Args:
        chart: what to show first; it settles the kind, and whether it is over steps and has cells, which stay.
        height: of the picture, in pixels.
        empty: what to say while there is nothing to draw.
        on_layer: called with the layer whose row was clicked.
        on_event: called with what is marked on the axis or at a row when its mark is clicked.
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
        self._shown = chart
        self._axes = ChartAxes(chart.kind, height)
        scales = self._axes.scales
        # The axis of rows may be one of small numbers, and reaches as far as hidden marks.
        end = 0.0 if chart.kind == "rows" else 1.0
        self._band = bqplot.Lines(
            x=[0.0, end], y=[[0.0, 0.0], [0.0, 0.0]], scales=scales, fill="between", stroke_width=0, visible=False,
            fill_opacities=[0.15, 0.15], fill_colors=[COLOURS[2], COLOURS[2]], colors=["transparent"],
        )  # fmt: skip
        self._levels = bqplot.Lines(
            x=[0.0], y=[0.0], scales=scales, colors=[FAINT], line_style=LEVEL.line, stroke_width=LEVEL.width
        )
        self._mark_of = {
            (role, look): self._mark(role, look, scales) for role, looks in LOOKS[chart.kind].items() for look in looks
        }
        self._marks = list(self._mark_of.values())
        self._rows = ClickableRows(on_layer)
        self._events = EventMarks(scales["x"], on_event)
        self._found = RowMarks(scales["y"], on_event)
        self._heat = HeatMark(scales) if chart.heat is not None else None
        behind = [self._heat] if self._heat is not None else []
        on_top = [self._rows, self._found] if chart.kind == "rows" else []
        on_top += [self._events] if chart.over_steps else []
        self._figure = self._axes.figure([*behind, self._band, *self._marks, self._levels, *on_top])
        self._legend = ipywidgets.HTML()
        self._note = ipywidgets.HTML()
        super().__init__([self._legend, self._figure, self._note], layout=ipywidgets.Layout(overflow="hidden"))
        self.add_class("nni-chart")
        self.update(chart)

    def update(self, chart: Chart) -> None:
        """Show another state of the same picture."""
        self._axes.frame(chart, self._figure)
        self._shown = chart
        words = note_html(chart.note or (self._empty if chart.empty else ""))
        self._legend.value = alert_html(chart.alert) + (words if chart.empty else legend_html(chart))
        self._note.value = "" if chart.empty else pictures_html(chart) + words
        self._rows.show(chart.layers, chart.chosen)
        self._events.show(chart.events)
        self._found.show(chart)
        if self._heat is not None:
            self._heat.show(None if chart.empty else chart.heat)
        if chart.empty:
            return
        curves: dict[tuple[Role, Look], list[tuple[str, Curve]]] = {}
        for name, curve in chart.series.items():
            curves.setdefault((curve.role, look_of(chart, name)), []).append((colour_of(chart, name), curve))
        for key, mark in self._mark_of.items():
            self._draw(mark, chart, curves.get(key, []))
        self._draw_levels(chart)
        self._axes.tick(chart)

    @property
    def shown(self) -> Chart:
        """What is on screen now."""
        return self._shown

    @property
    def layers(self) -> tuple[str, ...]:
        """Of the rows that are shown."""
        return self._shown.layers

    def close(self) -> None:
        """Close the widget and everything it consists of."""
        for part in (*self._figure.marks, *self._figure.axes, self._figure, self._legend, self._note):
            part.close()
        super().close()

    def _mark(self, role: Role, look: Look, scales: dict[str, bqplot.Scale]) -> bqplot.Mark:
        options: dict[str, object] = {}
        if look.marker is not None:
            options = {"marker": look.marker, "marker_size": _SIZES[role]}
        if self._kind == "bars" and role == "main":
            # A filled staircase: bqplot's Bars widen their axis by a width taken from whatever they showed first.
            options |= {"interpolation": "step-after", "fill": "bottom", "fill_opacities": [0.6]}
        return bqplot.Lines(
            x=[0.0],
            y=[0.0],
            scales=scales,
            line_style=look.line,
            stroke_width=look.width,
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
            _hide(mark, chart)
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

    def _draw_levels(self, chart: Chart) -> None:
        every = np.concatenate([np.zeros(0), *(curve.x for curve in chart.series.values())])
        ends = np.array([np.nanmin(every), np.nanmax(every)]) if len(every) else np.array([0.0, 1.0])
        if chart.kind == "rows":
            ends = np.array([-0.5, len(chart.labels) - 0.5])
        elif ends[0] == ends[1]:
            ends = ends + np.array([0.0, 1.0])  # of the first step alone
        heights = [drawn_values(np.array([level, level]), chart.log) for level in chart.levels.values()]
        heights = [height for height in heights if np.isfinite(height).all()]
        if heights:
            across, along = np.stack([ends] * len(heights)), np.stack(heights)
            with self._levels.hold_sync():
                self._levels.x, self._levels.y = (along, across) if chart.kind == "rows" else (across, along)
                self._levels.visible = True
        else:
            _hide(self._levels, chart)
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
        else:
            _hide(self._band, chart)


def _hide(mark: bqplot.Lines, chart: Chart) -> None:
    """Show nothing, nor leave far numbers behind: axes reach as far as those of all marks, also of hidden ones."""
    if mark.visible:
        with mark.hold_sync():
            mark.visible = False
            mark.x, mark.y = _lowest_point(chart)


def _lowest_point(chart: Chart) -> tuple[np.ndarray, np.ndarray]:
    """As it is drawn: of the charts that are drawn over and over, it is what changes least."""
    curves = list(chart.series.values())
    x = np.concatenate([np.zeros(0), *(curve.x for curve in curves)])
    y = np.concatenate([np.zeros(0), *(drawn_values(curve.y, chart.log) for curve in curves)])
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if not len(y):
        return np.zeros(1), np.zeros(1)
    place = np.argmin(y, keepdims=True)
    point = x[place], y[place]
    return point[::-1] if chart.kind == "rows" else point
