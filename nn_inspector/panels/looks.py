"""What a curve looks like besides its colour: its line, its marker, and the sign of both in the legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from nn_inspector.history import Chart, Role

Line = Literal["solid", "dashed", "dotted", "dash_dotted"]
Marker = Literal["circle", "square", "diamond", "triangle-down", "cross"]


@dataclass(frozen=True, slots=True)
class Look:
    """One way to draw a curve, in bqplot's words.

    Attributes:
        line: its style.
        width: of the line, in pixels; 0: there is none.
        marker: at each value, if any.
    """

    line: Line = "solid"
    width: float = 2.0
    marker: Marker | None = None


_MARKERS: tuple[Marker, ...] = ("circle", "square", "diamond", "triangle-down", "cross")

LEVEL = Look("dashed", 1.5)
"""Of values to compare with, drawn across the chart. No curve has it. Triangles that point up are events."""

_FAINT = (Look(width=1.0), Look("dash_dotted", 1.0), Look("dotted", 1.5), Look("dashed", 1.0))
_MAIN = (Look(), Look("dash_dotted"), Look("dotted", 3.0), Look(width=4.0), Look("dashed", 4.0))
_POINTS = tuple(Look(marker=marker) for marker in _MARKERS)
_MARKS = tuple(Look(width=0.0, marker=marker) for marker in _MARKERS)

LOOKS: Mapping[str, Mapping[Role, tuple[Look, ...]]] = MappingProxyType(
    {
        "lines": {"faint": _FAINT, "main": _MAIN, "points": _POINTS, "marks": _MARKS[-1:]},
        "bars": {"faint": _FAINT[:2], "main": _MAIN[:1], "points": _POINTS[:1], "marks": _MARKS[:1]},
        "rows": {"faint": _FAINT[:2], "main": _MAIN[:1], "points": _POINTS[:3], "marks": _MARKS},
    }
)
"""Kind of a chart -> role of a curve -> its possible looks: as many as the panels need, since each has a mark of its own."""


def look_of(chart: Chart, name: str) -> Look:
    """The look of one of a chart's series. No two have the same as long as there are enough for their role.

    A series that has a place among the colours has the same place among the looks, so that it keeps both when others
    come and go.
    """
    looks = LOOKS[chart.kind][chart.series[name].role]
    taken: list[int] = []
    for other, curve in chart.series.items():
        if curve.role != chart.series[name].role:
            continue
        place = (curve.colour if curve.colour is not None else len(taken)) % len(looks)
        while place in taken and len(set(taken)) < len(looks):
            place = (place + 1) % len(looks)
        if other == name:
            return looks[place]
        taken.append(place)
    raise KeyError(name)


_SHAPES: Mapping[Marker, str] = MappingProxyType(
    {
        "circle": '<circle cx="15" cy="5" r="4"/>',
        "square": '<rect x="11.5" y="1.5" width="7" height="7"/>',
        "diamond": '<path d="M15 0 L19.5 5 L15 10 L10.5 5 Z"/>',
        "triangle-down": '<path d="M10.5 1.5 H19.5 L15 9.5 Z"/>',
        "cross": '<path d="M13.5 .5 H16.5 V3.5 H19.5 V6.5 H16.5 V9.5 H13.5 V6.5 H10.5 V3.5 H13.5 Z"/>',
    }
)
_DASHES: Mapping[Line, str] = MappingProxyType({"dashed": "10,10", "dotted": "2,10", "dash_dotted": "10,5,2,5"})
"""As bqplot draws them."""


def sign_of(look: Look) -> str:
    """A look as a small picture, in the colour of the text around it."""
    dashes = f' stroke-dasharray="{_DASHES[look.line]}"' if look.line in _DASHES else ""
    line = f'<path d="M0 5 H30" stroke="currentColor" stroke-width="{look.width:g}"{dashes}/>' if look.width else ""
    marker = _SHAPES[look.marker] if look.marker is not None else ""
    return f'<svg width="30" height="10" viewBox="0 0 30 10" fill="currentColor">{line}{marker}</svg>'
