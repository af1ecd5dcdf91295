"""What stands around a picture in words: its legend and its note."""

from __future__ import annotations

from html import escape

from nn_inspector.history import Chart, Heat
from nn_inspector.panels.event_marks import by_step
from nn_inspector.panels.heat_mark import colours
from nn_inspector.panels.looks import LEVEL, look_of, sign_of
from nn_inspector.panels.row_marks import by_row
from nn_inspector.panels.style import COLOURS, FAINT, TEXT


def colour_of(chart: Chart, name: str) -> str:
    """The colour of one of a chart's series."""
    curve = chart.series[name]
    place = curve.colour if curve.colour is not None else list(chart.series).index(name)
    return FAINT if curve.role == "faint" else COLOURS[place % len(COLOURS)]


def legend_html(chart: Chart) -> str:
    """The legend, which tells the curves apart by line and marker as well as by colour."""
    entries = [_vertical(chart)] if chart.y_label else []
    for name, curve in chart.series.items():
        colour = colour_of(chart, name)
        sign = "■" if chart.kind == "bars" and curve.role == "main" else sign_of(look_of(chart, name))
        entries.append(_entry(colour, sign, name))
    entries += [_entry(FAINT, sign_of(LEVEL), f"{name} {value:.3g}") for name, value in chart.levels.items()]
    if chart.band is not None:
        entries.append(_entry(COLOURS[2], "▒", f"{chart.band[2]}: {chart.band[0]:.3g} to {chart.band[1]:.3g}"))
    if chart.heat is not None:
        entries.append(_colour_bar(chart.heat))
    entries += [_entry(TEXT, "▲", text) for text in (*by_step(chart.events).values(), *by_row(chart).values())]
    return f'<div style="line-height: 1.3; font-size: 12px; color: {TEXT}">{" ".join(entries)}</div>'


def _vertical(chart: Chart) -> str:
    """What goes from the bottom to the top: names of rows leave no room for it beside the axis."""
    if chart.kind == "rows":
        return f'<span style="margin-right: 10px">Rows: {escape(chart.y_label)}</span>'
    return f"{escape(chart.y_label)}:"


def _colour_bar(heat: Heat) -> str:
    """What the colours of cells stand for."""
    bar = f"display: inline-block; width: 80px; height: 9px; background: linear-gradient(to right, {', '.join(colours())})"
    return f'{escape(heat.name)}: {heat.low:.3g} <span style="{bar}"></span> {heat.high:.3g}'


def _entry(colour: str, sign: str, text: str) -> str:
    return (
        f'<span style="white-space: nowrap; margin-right: 10px">'
        f'<span aria-hidden="true" style="color: {colour}">{sign}</span> {escape(text)}</span>'
    )


def alert_html(text: str) -> str:
    """What must be read before a picture, above it: with a sign, in bold, and read out when it comes."""
    if not text:
        return ""
    style = f"line-height: 1.4; font-size: 13px; font-weight: 600; color: {TEXT}; border-left: 4px solid {COLOURS[1]}"
    return f'<div role="status" style="{style}; padding: 2px 8px; margin: 4px 0"><span aria-hidden="true">▲</span> {escape(text)}</div>'


def note_html(text: str) -> str:
    """What cannot be seen in a picture, below it."""
    return f'<div style="line-height: 1.3; font-size: 12px; color: {TEXT}">{escape(text)}</div>' if text else ""
