"""Which rows of a chart findings are about: the layer, the class or the item that a row shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nn_inspector.history import Chart, Finding
from nn_inspector.panels.found_marks import Events
from nn_inspector.panels.layers import layer_of, rows_of


def found_rows(chart: Chart, findings: Iterable[Finding]) -> Events:
    """(position, check) of each row that one of these findings is about.

    Args:
        chart: what it has as `found` is what the picture itself knows, and counts where there is such a finding.
        findings: those that can be seen in the chart.
    """
    return tuple((float(row), finding.check) for finding in findings for row in _rows(chart, finding))


def _rows(chart: Chart, finding: Finding) -> Sequence[float]:
    if chart.layers:
        names = (finding.where, layer_of(finding.where)) if finding.where else ()
        return next((rows for name in names if name != "model" and (rows := rows_of(chart.layers, name))), ())
    if chart.classes:
        named = finding.evidence.get("class", ())
        classes = named if isinstance(named, list | tuple) else (named,)
        return [row for row, number in enumerate(chart.classes) if number in classes]
    return [row for row, check in chart.found if check == finding.check]
