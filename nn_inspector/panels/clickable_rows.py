"""Rows of a chart that can be clicked, and of which some stand out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bqplot
import numpy as np

_FURTHER = -3.0
"""Where a row begins, in widths of the picture: it reaches over the names at its left."""

_TINT = 0.25


class ClickableRows(bqplot.Bars):
    """A transparent bar over each row: it takes the click, and tints the row if that is selected.

    The positions are ordinal: on a linear scale bqplot keeps the width of the bars that it showed first.

    Args:
        on_layer: called with the layer whose row was clicked.
    """

    def __init__(self, on_layer: Callable[[str], None] | None) -> None:
        self._layers: tuple[str, ...] = ()
        self._chosen: tuple[int, ...] = ()
        self._on_layer = on_layer
        self._places = bqplot.OrdinalScale(domain=[0], allow_padding=False)
        super().__init__(
            x=[0.0],
            y=[1.0],
            base=_FURTHER,
            scales={"x": self._places, "y": bqplot.LinearScale(min=0.0, max=1.0, allow_padding=False)},
            orientation="horizontal",
            padding=0.0,
            colors=["#999999"],
            opacities=[0.0],
            apply_clip=False,
            visible=False,
        )
        if on_layer is not None:
            self.on_element_click(self._on_click)

    def show(self, layers: tuple[str, ...], chosen: tuple[int, ...]) -> None:
        """Lie over the rows of these layers; those at the chosen positions stand out."""
        if (layers, chosen) == (self._layers, self._chosen):
            return
        if len(layers) != len(self._layers):
            self._places.domain = list(reversed(range(len(layers))))  # bqplot begins at the bottom
            with self.hold_sync():
                self.x, self.y = np.arange(len(layers), dtype=np.float64), np.ones(len(layers))
                self.visible = bool(layers)
        self._layers, self._chosen = layers, chosen
        self.opacities = [_TINT if place in chosen else 0.0 for place in range(len(layers))]

    def _on_click(self, _: Any, event: Any) -> None:
        place = (event.get("data") or {}).get("index")
        if self._on_layer is not None and isinstance(place, int) and 0 <= place < len(self._layers):
            self._on_layer(self._layers[place])
