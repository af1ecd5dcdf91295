"""Draws cells of a colour each with bqplot, and says what its colours stand for."""

from __future__ import annotations

import bqplot
import matplotlib as mpl
import numpy as np

from nn_inspector.history import Heat

SCHEME = "viridis"
_STOPS = 9


class HeatMark(bqplot.HeatMap):
    """The cells of a chart of rows; there from the start, and not to be seen where a chart has none.

    Args:
        scales: those of the chart's axes.
    """

    def __init__(self, scales: dict[str, bqplot.Scale]) -> None:
        super().__init__(
            color=np.zeros((2, 2)),
            x=np.array([0.0, 1.0]),
            y=np.array([0.0, 1.0]),
            scales={**scales, "color": bqplot.ColorScale(colors=colours(), min=0.0, max=1.0)},
            preserve_domain={"x": True, "y": True},
            visible=False,
        )

    def show(self, heat: Heat | None) -> None:
        """Show these cells, or none."""
        if heat is None:
            self.visible = False
            return
        shares, width = heat.shares[:, heat.blank :], heat.stop / heat.values.shape[1]
        rows, columns = (max(2 // size, 1) for size in shares.shape)  # bqplot cannot draw a single line of cells
        shares = shares.repeat(rows, axis=0).repeat(columns, axis=1)
        high, wide = shares.shape
        with self.hold_sync():
            self.color = np.ascontiguousarray(shares)
            self.x = heat.blank * width + (np.arange(wide) + 0.5) * width / columns
            self.y = (np.arange(high) + 0.5) / rows - 0.5
            self.visible = True


def colours() -> list[str]:
    """Some colours of viridis, from the darkest to the brightest."""
    scheme = mpl.colormaps[SCHEME]
    return [mpl.colors.to_hex(scheme(place)) for place in np.linspace(0.0, 1.0, _STOPS)]
