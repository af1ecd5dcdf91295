"""Marks at the rows of a chart: what was found there."""

from __future__ import annotations

from collections.abc import Callable

import bqplot

from nn_inspector.history import Chart
from nn_inspector.panels.found_marks import FoundMarks

BESIDE = 0.012
"""Of the width of the chart: a mark stands at the beginning of its row."""


def by_row(chart: Chart) -> dict[float, str]:
    """What each mark stands for, in words; what was found in the same row has one."""
    rows = sorted({row for row, _ in chart.found})
    return {row: f"{_name(chart, row)}: {', '.join(what for at, what in chart.found if at == row)}" for row in rows}


def _name(chart: Chart, row: float) -> str:
    if chart.layers:
        return chart.layers[int(row)]
    return f"class {chart.classes[int(row)]}" if chart.classes else dict(chart.labels)[row]


class RowMarks(FoundMarks):
    """Triangles at the beginning of rows."""

    def __init__(self, rows: bqplot.LinearScale, on_event: Callable[[str], None] | None) -> None:
        super().__init__(rows, "y", BESIDE, on_event)

    def show(self, chart: Chart) -> None:
        """Mark what was found in this chart and nothing else."""
        self.put({} if chart.empty else by_row(chart), chart.found)
