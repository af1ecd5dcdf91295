"""Draws a chart with bqplot, and updates it in place.

The rules behind it are measured (see docs/live.md): all marks exist from the start, each update is one message a mark,
arrays are fresh, contiguous, float64 and finite or NaN, and logarithms are taken here, because one zero on a
logarithmic scale of bqplot blanks the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape

import bqplot
import ipywidgets
import numpy as np
from matplotlib.ticker import MaxNLocator

from nn_inspector.history import Chart, Curve
from nn_inspector.panels.clickable_rows import ClickableRows
from nn_inspector.panels.event_marks import EventMarks, by_step
from nn_inspector.panels.row_pictures import pictures_html

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which colour-blind people can tell apart and which show on light and dark."""

FAINT = "#999999"
BACK = 0.35
"""Opacity of what stands back behind a selected row."""

TEXT = "var(--jp-ui-font-color1, #333333)"
GRID = "rgba(128, 128, 128, 0.25)"

_STEP_TICKS = MaxNLocator(6, steps=[1, 2, 5, 10], integer=True)
_MOST_DECADES = 8
"""A logarithmic axis with more has ticks at some of them only."""

_MAIN, _FAINT, _POINTS, _MARKS = range(4)
_WITH_MARKERS = ("points", "marks")
_MARGIN = {"top": 8, "bottom": 42, "left": 52, "right": 16}
_ROW_MARGIN = {**_MARGIN, "left": 148}
_REMARK_MARGIN = {**_ROW_MARGIN, "right": 132}
_ROW_HEIGHT = 15
"""Pixels that a row needs at least, so that its name can be read."""

STYLE = (
    "<style>.nni-chart .axislabel { font-size: 12px; font-family: inherit; } "
    ".nni-chart .bar { cursor: pointer; } .nni-chart .bar:hover { opacity: 0.15 !important; } "
    ".nni-step, .nni-stage { text-align: left; } .nni-step:focus-visible, .nni-stage:focus-visible { outline: 2px solid currentColor; }</style>"
)
"""What bqplot offers no option for; put once into a view's HTML."""


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
        ticks: dict[str, dict[str, object]] = {"lines": {"tick_format": ",~f"}, "rows": {"num_ticks": 6}}
        self._x_axis = bqplot.Axis(scale=scales["x"], **{**_axis_style(), **ticks.get(chart.kind, {})})
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
            layout=ipywidgets.Layout(width="100%", height=f"{height}px", min_width="0px"),
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
        self._note.value = pictures_html(chart) + note_html(chart.note or (self._empty if chart.empty else ""))
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

    def close(self) -> None:
        """Close the widget and everything it consists of."""
        for part in (*self._figure.marks, *self._figure.axes, self._figure, self._legend, self._note):
            part.close()
        super().close()

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
            curves = [(colour, _finite(curve, chart.log)) for colour, curve in curves]
        elif chart.kind == "lines":
            curves = [(colour, with_an_end(curve, chart.log)) for colour, curve in curves]
        opacities = [BACK if chart.chosen else 1.0] * len(curves)
        if chart.chosen and any(curve.role in _WITH_MARKERS for _, curve in curves):
            curves += [(colour, _only(curve, chart.chosen)) for colour, curve in curves]
            opacities += [1.0] * len(opacities)
        opacities = [opacity for opacity, (_, curve) in zip(opacities, curves, strict=True) if len(curve.x)]
        curves = [(colour, curve) for colour, curve in curves if len(curve.x)]
        if not curves:
            mark.visible = False
            return
        if chart.kind == "bars" and curves[0][1].role == "main":
            curves = [(colour, _staircase(curve)) for colour, curve in curves]
        width = max(len(curve.y) for _, curve in curves)
        x = np.stack([_padded(curve.x, width) for _, curve in curves])
        y = np.stack([_padded(_values(curve.y, chart.log), width) for _, curve in curves])
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
        """Ticks at round numbers of steps, few enough not to touch: bqplot's own are too many, or not round."""
        last = max(last, 1.0)
        ticks = np.asarray(_STEP_TICKS.tick_values(0.0, last))
        ticks = ticks[ticks <= last]
        if not np.array_equal(ticks, self._x_axis.tick_values):
            self._x_axis.tick_values = ticks

    def _draw_levels(self, chart: Chart) -> None:
        every = np.concatenate([curve.x for curve in chart.series.values()])
        ends = np.array([np.nanmin(every), np.nanmax(every)]) if len(every) else np.array([0.0, 1.0])
        if chart.kind == "rows":
            ends = np.array([-0.5, len(chart.labels) - 0.5])
        heights = [_values(np.array([level, level]), chart.log) for level in chart.levels.values()]
        with self._levels.hold_sync():
            self._levels.visible = bool(heights)
            if heights:
                across, along = np.stack([ends] * len(heights)), np.stack(heights)
                self._levels.x, self._levels.y = (along, across) if chart.kind == "rows" else (across, along)
        if chart.band is not None:
            low, high = _values(np.array(chart.band[:2]), chart.log)
            with self._band.hold_sync():
                if chart.kind == "rows":
                    self._band.x, self._band.y = np.array([low, high]), np.stack([ends[[0, 0]], ends[[1, 1]]])
                else:
                    self._band.x, self._band.y = ends, np.array([[low, low], [high, high]])
                self._band.visible = True

    def _set_frame(self, chart: Chart) -> None:
        """What changes rarely: labels, ticks, legend."""
        self._figure.layout.visibility = "hidden" if chart.empty else "visible"
        self._x_axis.visible = self._y_axis.visible = not chart.empty  # bqplot shows its axes all the same
        self._legend.value = "" if chart.empty else legend_html(chart)
        value_axis, other = (self._x_axis, self._y_axis) if chart.kind == "rows" else (self._y_axis, self._x_axis)
        self._x_axis.label = chart.x_label
        if chart.labels:
            _set_ticks(other, chart.labels)
        if chart.kind == "rows":
            self._set_rows(chart)
        if chart.log:
            low, high = decades(chart)
            between = max(1, math.ceil((high - low) / _MOST_DECADES))
            _set_ticks(value_axis, [(power, f"{10**power:g}") for power in np.arange(low, high + 1, between)])
        elif value_axis.tick_values is not None:
            with value_axis.hold_sync():
                value_axis.tick_values = value_axis.tick_labels = None
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
            _set_ticks(self._remarks, enumerate(chart.remarks))
        self._remarks.visible = bool(chart.remarks)
        self._figure.fig_margin = _REMARK_MARGIN if chart.remarks else _ROW_MARGIN


def colour_of(chart: Chart, name: str) -> str:
    """The colour of one of a chart's series."""
    curve = chart.series[name]
    place = curve.colour if curve.colour is not None else list(chart.series).index(name)
    return FAINT if curve.role == "faint" else COLOURS[place % len(COLOURS)]


def legend_html(chart: Chart) -> str:
    """The legend, which tells the curves apart by line and marker as well as by colour."""
    entries = [f"{escape(chart.y_label)}:"] if chart.kind != "rows" and chart.y_label else []
    for name, curve in chart.series.items():
        colour = colour_of(chart, name)
        sign = {"faint": "—", "main": "▬", "points": "●", "marks": "●"}[curve.role]
        entries.append(_entry(colour, "■" if chart.kind == "bars" and curve.role == "main" else sign, name))
    entries += [_entry(FAINT, "┄", f"{name} {value:.3g}") for name, value in chart.levels.items()]
    if chart.band is not None:
        entries.append(_entry(COLOURS[2], "▒", f"{chart.band[2]}: {chart.band[0]:.3g} to {chart.band[1]:.3g}"))
    entries += [_entry(TEXT, "▲", text) for text in by_step(chart.events).values()]
    return f'<div style="line-height: 1.3; font-size: 12px; color: {TEXT}">{" ".join(entries)}</div>'


def _entry(colour: str, sign: str, text: str) -> str:
    return (
        f'<span style="white-space: nowrap; margin-right: 10px">'
        f'<span aria-hidden="true" style="color: {colour}">{sign}</span> {escape(text)}</span>'
    )


def note_html(text: str) -> str:
    """What cannot be seen in a picture, below it."""
    return f'<div style="line-height: 1.3; font-size: 12px; color: {TEXT}">{escape(text)}</div>' if text else ""


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
    )


def _extent(chart: Chart) -> tuple[float | None, float | None]:
    """Limits of the axis that values are shown over: half a place beyond the outer rows or bars; lines begin at 0."""
    if chart.kind == "lines":
        signed = [curve.x[-1] for curve in chart.series.values() if curve.sign and len(curve.x)]
        return 0.0, 1.05 * max(signed) if signed else None
    rows = len(chart.labels) if chart.kind == "rows" else 0
    places = rows or max((len(curve.x) for curve in chart.series.values()), default=1)
    return -0.5, places - 0.5


def decades(chart: Chart) -> tuple[float, float]:
    """The whole powers of ten, as exponents, between which all values of a chart lie."""
    values = np.concatenate(
        [curve.y for curve in chart.series.values()] + [np.array(chart.band[:2] if chart.band else [])]
    )
    powers = _values(values, log=True)
    if not np.isfinite(powers).any():
        return 0.0, 1.0
    low, high = math.floor(np.nanmin(powers)), math.ceil(np.nanmax(powers))
    return float(low), float(max(high, low + 1))


def _set_ticks(axis: bqplot.Axis, labels: Iterable[tuple[float, str]]) -> None:
    """Set where ticks stand and what they say.

    In two messages, texts first: within one, bqplot may draw new positions with the old texts and stay with that. Texts
    of earlier positions stay known, so that no position is ever without one.
    """
    texts = {_key(position): text for position, text in labels}
    axis.tick_labels = {**(axis.tick_labels or {}), **texts}
    axis.tick_values = np.array([float(position) for position in texts])


def _key(position: float) -> str:
    """As JavaScript writes the number."""
    return str(int(position)) if position == int(position) else repr(position)


def _values(values: np.ndarray, log: bool) -> np.ndarray:
    fresh = np.array(values, dtype=np.float64)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            fresh = np.log10(fresh)
    fresh[~np.isfinite(fresh)] = math.nan
    return fresh


def _finite(curve: Curve, log: bool) -> Curve:
    """Without the points that have no place: bqplot leaves gaps in lines, but not for markers."""
    keep = np.isfinite(_values(curve.y, log))
    return replace(curve, x=np.asarray(curve.x)[keep], y=np.asarray(curve.y)[keep])


def with_an_end(curve: Curve, log: bool) -> Curve:
    """With the last value that can be drawn at its end: bqplot puts a label there, and cannot put it at NaN."""
    finite = np.flatnonzero(np.isfinite(_values(curve.y, log)))
    if not len(finite):
        return replace(curve, x=curve.x[:0], y=curve.y[:0])
    return replace(curve, y=np.append(curve.y[:-1], curve.y[finite[-1]]))


def _only(curve: Curve, places: tuple[int, ...]) -> Curve:
    """The points at some positions."""
    keep = np.isin(np.round(curve.x), places)
    return replace(curve, x=curve.x[keep], y=curve.y[keep])


def _staircase(curve: Curve) -> Curve:
    """The outline of bars around their positions."""
    return Curve(np.append(curve.x - 0.5, curve.x[-1] + 0.5), np.append(curve.y, curve.y[-1]), curve.role)


def _padded(values: np.ndarray, width: int) -> np.ndarray:
    """As many values as the longest curve has: the last one again, since NaN would have a marker or a sign somewhere."""
    return np.pad(np.asarray(values, dtype=np.float64), (0, width - len(values)), mode="edge")


def _axis_style() -> dict[str, object]:
    return {
        "grid_color": GRID,
        "color": "rgba(128, 128, 128, 0.6)",
        "label_color": TEXT,
        "tick_style": {"fill": TEXT, "font-size": "11px"},
        "tick_format": ".3~g",
    }
