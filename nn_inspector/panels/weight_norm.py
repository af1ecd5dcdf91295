"""Panel: how large the weights of each layer are."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layer_rows import rows_for
from nn_inspector.panels.layers import norms, norms_in, not_finite, with_layers
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the weights by layer, at the latest measured step and at the first."""
    first, now = norms(run, "weight_norm")
    rows = rows_for(list(now), selection.layer)
    chart = Chart(
        kind="rows",
        x_label="weight norm",
        y_label="layer, from input to output",
        series={"first step": curve(norms_in(rows, first), "faint"), "now": curve(norms_in(rows, now), "points")}
        if now
        else {},
        log=True,
        note=not_finite("Weights are", now),
    )
    return with_layers(chart, run, rows, selection.layer)


PANEL = Panel(
    name="weight_norm",
    title="Weights",
    healthy="Healthy: moves away from the first step slowly; no layer shrinks to nothing or grows without end.",
    picture=picture,
    checks=("weight_scale", "weight_spread"),
)
