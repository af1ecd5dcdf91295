"""Panel: how much a step changes each layer, relative to its weights."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layers import by_layer, not_finite, with_layers
from nn_inspector.panels.panel import Panel, Selection

USUAL = (1e-4, 1e-1)
"""Band in which the ratio lies in healthy trainings (TheDeepChecker; no alarm on 15 of them)."""


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the update over norm of the weights, by layer, at the latest measured step and at the first."""
    now, first = _ratios(run, -1), _ratios(run, 0)
    chart = Chart(
        kind="rows",
        x_label="update / weight",
        y_label="layer, from input to output",
        series={"first step": curve(list(first.values()), "faint"), "now": curve(list(now.values()), "points")}
        if now
        else {},
        band=(*USUAL, "usual"),
        log=True,
        note=not_finite("Update or weights are", now),
    )
    return with_layers(chart, run, now, selection.layer)


def _ratios(run: Run, index: int) -> dict[str, float]:
    updates = by_layer(run, "update_norm", lambda values: float(values[index]))
    weights = by_layer(run, "weight_norm", lambda values: float(values[index]))
    return {layer: updates[layer] / weights[layer] if weights[layer] else float("nan") for layer in updates}


PANEL = Panel(
    name="update_ratio",
    title="Update ratio",
    healthy="Healthy: about 0.001 in every layer. Far below 0.0001 is too slow, above 0.1 too fast.",
    picture=picture,
    checks=("optimizer_step", "update_ratio"),
)
