"""Panel: how far the weights of each layer spread, by depth and over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nn_inspector.history import Chart, Heat, Run
from nn_inspector.panels.layer_rows import Row
from nn_inspector.panels.layers import with_layers
from nn_inspector.panels.over_time import columns, no_cells, reach, rows_over_time
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Root mean square of the weights of each layer, from input to output and from the first step to now."""
    sources = run.sources("weight_norm")
    if not sources:
        return no_cells("layer, from input to output")
    norms = rows_over_time(run, "weight_norm", columns(run, [run.series("weight_norm", sources[0])]), selection.layer)
    counts: dict[str, int] = run.parameters.get("own_parameters", {})
    values = np.stack([norm / np.sqrt(_count(row, counts)) for row, norm in norms.items()])
    chart = Chart(
        kind="rows",
        x_label="step",
        y_label="layer, from input to output",
        series={},
        heat=Heat(values, float(max(run.steps, 1)), *reach(values), "root mean square", log=True),
        top=float(max(run.steps, 1)),
    )
    return with_layers(chart, run, norms, selection.layer)


def _count(row: Row, counts: Mapping[str, int]) -> int:
    """How many parameters the layers of a row have."""
    return max(sum(counts.get("" if layer == "model" else layer, 0) for layer in row.layers), 1)


PANEL = Panel(
    name="weight_history",
    title="Weights over time",
    healthy="Healthy: each row changes its colour slowly, and no row stands out more and more.",
    picture=picture,
    checks=("weight_scale", "weight_spread"),
)
