"""Which widget draws a chart."""

from __future__ import annotations

from collections.abc import Callable

from nn_inspector.history import Chart
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.matrix_widget import MatrixWidget

ChartView = ChartWidget | MatrixWidget


def chart_view(
    chart: Chart,
    *,
    on_layer: Callable[[str], None] | None = None,
    on_event: Callable[[str], None] | None = None,
) -> ChartView:
    """The widget for a chart, which it then updates in place.

    Args:
        chart: what to show first.
        on_layer: called with the layer whose row was clicked.
        on_event: called with what is marked on the axis when its mark is clicked.
    """
    if chart.kind == "matrix":
        return MatrixWidget(chart)
    return ChartWidget(chart, on_layer=on_layer, on_event=on_event)
