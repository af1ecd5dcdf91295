"""Panel: how large the weights of each layer are."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layers import by_layer, not_finite, with_layers
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the weights by layer, at the latest measured step and at the first."""
    now = by_layer(run, "weight_norm", lambda values: float(values[-1]))
    first = by_layer(run, "weight_norm", lambda values: float(values[0]))
    chart = Chart(
        kind="rows",
        x_label="weight norm",
        y_label="layer, from input to output",
        series={"first step": curve(list(first.values()), "faint"), "now": curve(list(now.values()), "points")}
        if now
        else {},
        log=True,
        note=not_finite("Weights are", now),
    )
    return with_layers(chart, run, now, selection.layer)


PANEL = Panel(
    name="weight_norm",
    title="Weights",
    healthy="Healthy: moves away from the first step slowly; no layer shrinks to nothing or grows without end.",
    picture=picture,
    checks=("weight_scale", "weight_spread"),
)
