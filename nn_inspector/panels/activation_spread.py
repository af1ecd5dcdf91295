"""Panel: how far the outputs of each layer spread, from input to output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layer_rows import Row, rows_for
from nn_inspector.panels.layers import extremes, with_layers
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Standard deviation of each module's output, at the latest measured step and at the first."""
    spreads = {layer: run.series("activation_spread", layer).values for layer in run.sources("activation_spread")}
    first, now = ({layer: float(values[place]) for layer, values in spreads.items()} for place in (0, -1))
    rows = rows_for(list(spreads), selection.layer)
    series = {
        "first step": curve(_medians(rows, first), "faint"),
        "now": curve(_medians(rows, now), "points"),
        **extremes(rows, now, "least"),
        **extremes(rows, now, "greatest"),
    }
    chart = Chart(
        kind="rows",
        x_label="standard deviation of the outputs",
        y_label="layer, from input to output",
        series=series if rows else {},
        log=True,
        note="Of several layers, the median." if len(rows) < len(spreads) else "",
    )
    return with_layers(chart, run, rows, selection.layer)


def _medians(rows: Iterable[Row], of_layers: Mapping[str, float]) -> list[float]:
    return [float(np.median([of_layers[layer] for layer in row.layers])) for row in rows]


PANEL = Panel(
    name="activation_spread",
    title="Spread of activations",
    healthy="Healthy: all layers within a factor of about ten; not shrinking or growing from row to row.",
    picture=picture,
    checks=("activation_scale", "input_scale", "normalization", "weight_scale"),
)
