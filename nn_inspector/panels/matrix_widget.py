"""Draws a matrix as a table: it can be read out, and its numbers stand in its cells."""

from __future__ import annotations

from html import escape

import ipywidgets
import matplotlib as mpl
import numpy as np

from nn_inspector.history import Chart
from nn_inspector.panels.legend import note_html
from nn_inspector.panels.row_marks import by_row
from nn_inspector.panels.style import TEXT

_CELL = "padding: 2px 4px; min-width: 20px; text-align: right; font-weight: normal"


class MatrixWidget(ipywidgets.VBox):
    """A matrix on screen; it is used like a `ChartWidget`.

    Args:
        chart: what to show first.
        empty: what to say while there is nothing to draw.
    """

    def __init__(self, chart: Chart, *, empty: str = "No step yet.") -> None:
        self._empty = empty
        self._shown = chart
        self._legend = ipywidgets.HTML()
        self._table = ipywidgets.HTML()
        self._note = ipywidgets.HTML()
        super().__init__([self._legend, self._table, self._note], layout=ipywidgets.Layout(overflow="hidden"))
        self.add_class("nni-chart")
        self.update(chart)

    def update(self, chart: Chart) -> None:
        """Show another state of the same matrix."""
        self._shown = chart
        self._table.layout.visibility = "hidden" if chart.empty else "visible"
        if chart.empty:
            self._legend.value = note_html(chart.note or self._empty)
            self._table.value = self._note.value = ""
            return
        said = f"Of each {chart.y_label} (rows), % by {chart.x_label} (columns)."
        self._legend.value = note_html(" ".join([said, *(f"▲ {mark}" for mark in by_row(chart).values())]))
        self._table.value = table_html(chart)
        self._note.value = note_html(chart.note)

    @property
    def shown(self) -> Chart:
        """What is on screen now."""
        return self._shown

    @property
    def layers(self) -> tuple[str, ...]:
        """A matrix is about no layer."""
        return ()

    def close(self) -> None:
        """Close the widget and everything it consists of."""
        for part in (self._legend, self._table, self._note):
            part.close()
        super().close()


def table_html(chart: Chart) -> str:
    """The matrix as a table that scrolls where it is too wide."""
    assert chart.matrix is not None, "the chart is a matrix"
    texts = marked_labels(chart)
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(text)}</th>' for text in texts)
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL}">{escape(text)}</th>{"".join(map(_cell, row))}</tr>'
        for text, row in zip(texts, chart.matrix, strict=True)
    )
    corner = f'<th scope="col" style="{_CELL}">{escape(chart.y_label)} ↓ {escape(chart.x_label)} →</th>'
    return (
        f'<div tabindex="0" role="group" aria-label="{escape(chart.x_label)}" style="overflow-x: auto">'
        f'<table style="border-collapse: collapse; font-size: 12px; line-height: 1.4; color: {TEXT}">'
        f"<tr>{corner}{head}</tr>{rows}</table></div>"
    )


def marked_labels(chart: Chart) -> list[str]:
    """The texts of rows and columns, with a mark where something was found."""
    marked = by_row(chart)
    return [f"▲ {text}" if place in marked else text for place, text in chart.labels]


def _cell(share: float) -> str:
    if not share:
        return f'<td style="{_CELL}">·</td>'
    back, fore = cell_colours(share)
    return f'<td style="{_CELL}; background: {back}; color: {fore}">{100 * share:.0f}</td>'


def cell_colours(share: float) -> tuple[str, str]:
    """Viridis for a share from 0 to 1, and black or white, whichever is easier to read on it.

    Example:
        >>> cell_colours(0.0), cell_colours(1.0)
        (('#440154', '#ffffff'), ('#fde725', '#000000'))
    """
    colour = np.array(mpl.colormaps["viridis"](share)[:3])
    linear = np.where(colour <= 0.03928, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))  # as WCAG 2 defines it
    is_dark = 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05
    return mpl.colors.to_hex(tuple(colour)), "#ffffff" if is_dark else "#000000"
