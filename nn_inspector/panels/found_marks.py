"""Marks of what was found, along one axis of a chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import bqplot
import numpy as np

from nn_inspector.panels.style import EVENT

Events = tuple[tuple[float, str], ...]
"""Where on the axis something was found, and what."""


class FoundMarks(bqplot.Scatter):
    """Triangles along an axis; each says in its tooltip what it stands for.

    Args:
        scale: of that axis, which the chart's curves lie on.
        axis: which one it is.
        beside: how far from the axis they stand, as a share of the chart.
        on_event: called with what was found when its mark is clicked; of several, with the first.
    """

    def __init__(
        self, scale: bqplot.Scale, axis: Literal["x", "y"], beside: float, on_event: Callable[[str], None] | None
    ) -> None:
        self._shown: dict[float, str] = {}
        self._found: Events = ()
        self._axis, self._beside, self._on_event = axis, beside, on_event
        self._tip = bqplot.Tooltip(fields=["name"], labels=["found"])
        other = "y" if axis == "x" else "x"
        super().__init__(
            x=[0.0],
            y=[0.0],
            names=[""],
            display_names=False,
            scales={axis: scale, other: bqplot.LinearScale(min=0.0, max=1.0, allow_padding=False)},
            preserve_domain={axis: True},
            marker="triangle-up",
            default_size=60,
            colors=[f"var(--jp-ui-font-color1, {EVENT})"],
            tooltip=self._tip,
            apply_clip=False,
            visible=False,
        )
        self.on_element_click(self._on_click)

    def put(self, marks: Mapping[float, str], found: Events) -> None:
        """Show these marks, by their place on the axis with their words, and no others; `found` is what they stand for."""
        self._found = found
        if marks == self._shown:
            return
        self._shown = dict(marks)
        with self.hold_sync():
            self.visible = bool(marks)
            if marks:
                along, across = np.array(list(marks), dtype=np.float64), np.full(len(marks), self._beside)
                self.names = np.array(list(marks.values()))
                self.x = along if self._axis == "x" else across
                self.y = across if self._axis == "x" else along

    def close(self) -> None:
        """Close the marks and their tooltip."""
        self._tip.close()
        super().close()

    def _on_click(self, _: Any, event: Any) -> None:
        place = (event.get("data") or {}).get("index")
        places = list(self._shown)
        if self._on_event is not None and isinstance(place, int) and 0 <= place < len(places):
            self._on_event(next(what for at, what in self._found if at == places[place]))
