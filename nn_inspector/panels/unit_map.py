"""Panel: every unit of every activation, by how often it is at work."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Heat, Run
from nn_inspector.panels.layer_rows import rows_for
from nn_inspector.panels.layers import with_layers
from nn_inspector.panels.over_time import no_cells
from nn_inspector.panels.panel import Panel, Selection

_WIDEST = 256
"""Cells in a row; of more units, some are left out evenly."""


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the items for which each unit is neither zero nor at an end, over the latest window of steps."""
    vectors = {layer: run.last_vector("unit_activity", layer) for layer in run.sources("unit_activity")}
    activity = {layer: vector for layer, vector in vectors.items() if vector is not None}
    if not activity:
        return no_cells("activation, from input to output")
    rows = rows_for(list(activity), selection.layer)
    known = [np.concatenate([activity[layer] for layer in row.layers]) for row in rows]
    width = min(max(len(vector) for vector in known), _WIDEST)
    cells = np.stack([_stretched(vector, width) for vector in known])
    chart = Chart(
        kind="rows",
        x_label="units of the layer, in %",
        y_label="activation, from input to output",
        series={},
        heat=Heat(cells, 100.0, 0.0, 1.0, "share of the items at which it works"),
        top=100.0,
        remarks=tuple(_remark(vector) for vector in known),
    )
    return with_layers(chart, run, rows, selection.layer)


def _stretched(units: np.ndarray, width: int) -> np.ndarray:
    """Each unit as wide as the others of its layer."""
    places = np.arange(width) * len(units) // width
    cells: np.ndarray = units[places]
    return cells


def _remark(units: np.ndarray) -> str:
    idle = int(np.count_nonzero(units <= 0))
    return f"{len(units)} units" + (f", {idle} idle" if idle else "")


PANEL = Panel(
    name="unit_map",
    title="Map of units",
    healthy="Healthy: many colours. A dark cell is a unit that works for no item, a dark row a layer that is dead.",
    picture=picture,
    checks=("dead_units", "saturation"),
)
