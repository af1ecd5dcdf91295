"""Draws charts with matplotlib, as the static twin of what bqplot shows live."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from nn_inspector.history import Chart, Heat
from nn_inspector.panels.drawn_curves import decades, with_an_end
from nn_inspector.panels.event_marks import ABOVE, by_step
from nn_inspector.panels.heat_mark import SCHEME
from nn_inspector.panels.legend import colour_of
from nn_inspector.panels.looks import LEVEL, look_of
from nn_inspector.panels.matrix_widget import cell_colours, marked_labels
from nn_inspector.panels.row_marks import BESIDE, by_row
from nn_inspector.panels.style import BACK, COLOURS, EVENT, FAINT

_LINES = {"solid": "-", "dashed": "--", "dotted": ":", "dash_dotted": "-."}
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-down": "v", "cross": "P"}
"""bqplot's words -> matplotlib's."""

_THINNER = 0.75
"""Points of a line for each of its pixels."""

_LETTERS = 56
"""In a line above a picture, or in its place: a longer one would leave the pictures beside it no room."""


def draw(axes: Axes, chart: Chart, title: str = "") -> None:
    """Draw a chart on matplotlib axes."""
    alert = f"\n▲ {textwrap.fill(chart.alert, _LETTERS)}" if chart.alert else ""
    axes.set_title(title + alert, fontsize=10, loc="left")
    if chart.empty:
        said = textwrap.fill(chart.note or "No step yet.", _LETTERS)
        axes.text(0.5, 0.5, said, ha="center", va="center", transform=axes.transAxes, color="#666666", fontsize=9)
        axes.set_axis_off()
        return
    if chart.matrix is not None:
        _matrix(axes, chart, chart.matrix)
        return
    rows = chart.kind == "rows"
    _curves(axes, chart)
    line, span = (axes.axvline, axes.axvspan) if rows else (axes.axhline, axes.axhspan)
    for name, level in chart.levels.items():
        line(level, color=FAINT, linestyle=_LINES[LEVEL.line], lw=1, label=f"{name} {level:.3g}")
    if chart.band is not None:
        span(chart.band[0], chart.band[1], color=COLOURS[2], alpha=0.12, label=chart.band[2])
    if chart.log:
        low, high = decades(chart)
        axis = axes.xaxis if rows else axes.yaxis
        (axes.set_xscale if rows else axes.set_yscale)("log")
        (axes.set_xlim if rows else axes.set_ylim)(10.0**low, 10.0**high)
        axis.set_minor_formatter(NullFormatter())
    elif chart.top is not None:
        low = min([0.0, *(float(np.nanmin(c.y)) for c in chart.series.values() if len(c.y))])
        (axes.set_xlim if rows else axes.set_ylim)(low, chart.top)
    _label(axes, chart)
    if chart.heat is not None:
        _cells(axes, chart.heat)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, framealpha=0.8, edgecolor="none", handlelength=3.5)


def _curves(axes: Axes, chart: Chart) -> None:
    """What was measured, with what stands out and what happened."""
    for name, curve in chart.series.items():
        colour = colour_of(chart, name)
        if chart.kind == "bars" and curve.role == "main":
            axes.bar(curve.x, curve.y, width=0.9, color=colour, label=name)
            continue
        x, y = (curve.y, curve.x) if chart.kind == "rows" else (curve.x, curve.y)
        look = look_of(chart, name)
        marker = _MARKERS[look.marker] if look.marker is not None else None
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
        line: dict[str, Any] = {"linestyle": _LINES[look.line], "lw": _THINNER * look.width}
        line |= {"zorder": 1.5} if curve.role == "faint" else {}
        axes.plot(x, y, **style, **line, label=name, alpha=BACK if chart.chosen else 1.0)
        end = with_an_end(curve, chart.log)
        if curve.sign and len(end.x):
            last = (float(end.x[-1]), float(end.y[-1]))
            axes.annotate(curve.sign, last, (3, 0), textcoords="offset points", color=colour, fontsize=8)
        if chart.chosen and marker is not None:
            axes.plot(*(part[np.isin(np.round(curve.x), chart.chosen)] for part in (x, y)), **style, lw=0)
    for place in chart.chosen:
        axes.axhspan(place - 0.5, place + 0.5, color=FAINT, alpha=0.25, lw=0)
    for row, text in by_row(chart).items():
        style = {"marker": "^", "color": EVENT, "lw": 0, "label": text}
        if chart.kind == "bars":  # they all are of the layer that is named
            axes.plot([], [], **style)
        else:
            axes.plot(BESIDE, row, **style, clip_on=False, transform=axes.get_yaxis_transform())
    for step, text in by_step(chart.events).items():
        style = {"marker": "^", "color": EVENT, "lw": 0, "clip_on": False, "label": text}
        axes.plot(step, ABOVE, **style, transform=axes.get_xaxis_transform())


def _cells(axes: Axes, heat: Heat) -> None:
    """Cells of a colour each, and what the colours stand for."""
    start = heat.blank * heat.stop / heat.values.shape[1]
    place = (start, heat.stop, len(heat.values) - 0.5, -0.5)
    style: dict[str, Any] = {"cmap": SCHEME, "aspect": "auto", "interpolation": "nearest"}
    axes.imshow(heat.shares[:, heat.blank :], extent=place, vmin=0.0, vmax=1.0, **style)
    axes.set_xlim(0.0, heat.stop)
    norm = (LogNorm if heat.log else Normalize)(heat.low, heat.high)
    bar = axes.figure.colorbar(ScalarMappable(norm, SCHEME), ax=axes)
    bar.set_label(heat.name, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    axes.grid(visible=False)


def _matrix(axes: Axes, chart: Chart, matrix: np.ndarray) -> None:
    """Shares in %, as colours and as numbers."""
    axes.imshow(matrix, cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto")
    for (row, column), share in np.ndenumerate(matrix):
        if share:
            style: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 6,
                "color": cell_colours(float(share))[1],
            }
            axes.text(column, row, f"{100 * share:.0f}", **style)
    positions, texts = [position for position, _ in chart.labels], marked_labels(chart)
    axes.set_xticks(positions, texts, fontsize=7)
    axes.set_yticks(positions, texts, fontsize=7)
    marks = "".join(f"\n▲ {mark}" for mark in by_row(chart).values())
    axes.set_xlabel(f"{chart.x_label} (cells: % of the row){marks}", fontsize=8)
    axes.set_ylabel(chart.y_label, fontsize=8)


def _pictures(axes: Axes, chart: Chart) -> None:
    """The image of each row, right of what stands at its end."""
    for place, image in enumerate(chart.pictures):
        inset = axes.inset_axes((1.24, place - 0.45, 0.16, 0.9), transform=axes.get_yaxis_transform())
        inset.imshow(image, cmap="gray", aspect="equal")
        inset.set_axis_off()


def png(charts: Sequence[tuple[str, Chart]], *, columns: int = 2) -> bytes:
    """Charts with their titles on one white page, as a PNG file."""
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.9 * rows), dpi=100, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, chart) in zip(places, charts, strict=False):
        draw(axes, chart, title)
    for axes in places[len(charts) :]:
        axes.set_axis_off()
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def png_tag(data: bytes, description: str) -> str:
    """A PNG file as an HTML image that carries its data."""
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(description)}" style="max-width: 100%" src="data:image/png;base64,{encoded}">'


def _label(axes: Axes, chart: Chart) -> None:
    axes.set_xlabel(chart.x_label, fontsize=8)
    axes.set_ylabel(chart.y_label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, color="#dddddd", lw=0.5)
    if chart.labels:
        positions = np.array([position for position, _ in chart.labels])
        texts = [text for _, text in chart.labels]
        if chart.kind == "rows":
            axes.set_yticks(positions, texts)
            axes.set_ylim((len(positions) if chart.heat is None else len(chart.heat.values)) - 0.5, -0.5)
            if chart.remarks:
                axes.secondary_yaxis("right").set_yticks(positions, chart.remarks, fontsize=7)
            _pictures(axes, chart)
        else:
            axes.set_xticks(positions, texts)
