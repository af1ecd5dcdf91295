"""Panel: how much the steps change each layer, layer by layer and over time."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Heat, Run
from nn_inspector.panels.layers import with_layers
from nn_inspector.panels.over_time import columns, no_cells, rows_over_time
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.panels.update_ratio import USUAL


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the update over norm of the weights of each layer, from the first step to now; the colours span the usual band."""
    sources = run.sources("update_norm")
    if not sources:
        return no_cells("layer, from input to output")
    steps = columns(run, [run.series("update_norm", sources[0])])
    updates, weights = (rows_over_time(run, name, steps, selection.layer) for name in ("update_norm", "weight_norm"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.stack([updates[row] / weights[row] for row in updates])
    ratios[~np.isfinite(ratios)] = np.nan
    end = float(max(run.steps, 1))
    chart = Chart(
        kind="rows",
        x_label="step",
        y_label="layer, from input to output",
        series={},
        heat=Heat(ratios, end, *USUAL, "update / weight, usual band", log=True),
        top=end,
        remarks=tuple(_remark(row[-1]) for row in ratios),
        note="Darkest: at the lower end of the usual band or below it. Brightest: at its upper end or above.",
    )
    return with_layers(chart, run, updates, selection.layer)


def _remark(ratio: float) -> str:
    """The latest ratio, and whether it is out of the usual band.

    Example:
        >>> _remark(0.00123), _remark(2e-6), _remark(0.0), _remark(0.5)
        ('1.2e-03', '2.0e-06 ▼ low', '0 ▼ low', '5.0e-01 ▲ high')
    """
    if not np.isfinite(ratio):
        return ""
    beyond = " ▼ low" if ratio < USUAL[0] else " ▲ high" if ratio > USUAL[1] else ""
    return f"{ratio:.1e}{beyond}" if ratio else f"0{beyond}"


PANEL = Panel(
    name="update_map",
    title="Map of update ratios",
    healthy="Healthy: all rows of a middle colour, darker as the learning rate falls. At the right: the latest ratio.",
    picture=picture,
    checks=("optimizer_step", "update_ratio"),
)
