"""Marks at the rows of a chart: what was found there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bqplot
import numpy as np

from nn_inspector.history import Chart
from nn_inspector.panels.event_marks import EVENT

BESIDE = 0.012
"""Of the width of the chart: a mark stands at the beginning of its row."""


def by_row(chart: Chart) -> dict[float, str]:
    """What each mark stands for, in words; what was found in the same row has one."""
    rows = sorted({row for row, _ in chart.found})
    return {row: f"{_name(chart, row)}: {', '.join(what for at, what in chart.found if at == row)}" for row in rows}


def _name(chart: Chart, row: float) -> str:
    return chart.layers[int(row)] if int(row) < len(chart.layers) else ""


class RowMarks(bqplot.Scatter):
    """Triangles at the beginning of rows; each says in its tooltip what it stands for.

    Args:
        rows: the scale that the chart's rows lie on.
        on_event: called with what was found when its mark is clicked; of several, with the first.
    """

    def __init__(self, rows: bqplot.LinearScale, on_event: Callable[[str], None] | None) -> None:
        self._marks: dict[float, str] = {}
        self._found: tuple[tuple[float, str], ...] = ()
        self._on_event = on_event
        self._tip = bqplot.Tooltip(fields=["name"], labels=["found"])
        super().__init__(
            x=[0.0],
            y=[0.0],
            names=[""],
            display_names=False,
            scales={"x": bqplot.LinearScale(min=0.0, max=1.0, allow_padding=False), "y": rows},
            preserve_domain={"y": True},
            marker="triangle-up",
            default_size=60,
            colors=[f"var(--jp-ui-font-color1, {EVENT})"],
            tooltip=self._tip,
            apply_clip=False,
            visible=False,
        )
        self.on_element_click(self._on_click)

    def show(self, chart: Chart) -> None:
        """Mark what was found in this chart and nothing else."""
        marks = {} if chart.empty else by_row(chart)
        self._found = chart.found
        if marks == self._marks:
            return
        self._marks = marks
        with self.hold_sync():
            self.visible = bool(marks)
            if marks:
                self.names = np.array(list(marks.values()))
                self.x = np.full(len(marks), BESIDE)
                self.y = np.array(list(marks), dtype=np.float64)

    def close(self) -> None:
        """Close the marks and their tooltip."""
        self._tip.close()
        super().close()

    def _on_click(self, _: Any, event: Any) -> None:
        place = (event.get("data") or {}).get("index")
        rows = list(self._marks)
        if self._on_event is not None and isinstance(place, int) and 0 <= place < len(rows):
            self._on_event(next(what for row, what in self._found if row == rows[place]))
