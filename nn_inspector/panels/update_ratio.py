"""Panel: how much a step changes each layer, relative to its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layer_rows import Row, rows_for
from nn_inspector.panels.layers import extremes, norms, norms_in, not_finite, with_layers
from nn_inspector.panels.panel import Panel, Selection

USUAL = (1e-4, 1e-1)
"""Band in which the ratio lies in healthy trainings (TheDeepChecker; no alarm on 15 of them)."""


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the update over norm of the weights, by layer, at the latest measured step and at the first; of several in a row also the extremes."""
    first_updates, updates = norms(run, "update_norm")
    first_weights, weights = norms(run, "weight_norm")
    rows = rows_for(list(updates), selection.layer)
    now = {layer: _ratio(updates[layer], weights[layer]) for layer in updates}
    series = {
        "first step": curve(_ratios(rows, first_updates, first_weights), "faint"),
        "now": curve(_ratios(rows, updates, weights), "points"),
        **extremes(rows, now, "least"),
        **extremes(rows, now, "greatest"),
    }
    chart = Chart(
        kind="rows",
        x_label="update / weight",
        y_label="layer, from input to output",
        series=series if now else {},
        band=(*USUAL, "usual"),
        log=True,
        note=not_finite("Update or weights are", now),
    )
    return with_layers(chart, run, rows, selection.layer)


def _ratios(rows: Iterable[Row], updates: Mapping[str, float], weights: Mapping[str, float]) -> list[float]:
    rows = tuple(rows)
    return [_ratio(*both) for both in zip(norms_in(rows, updates), norms_in(rows, weights), strict=True)]


def _ratio(update: float, weight: float) -> float:
    return update / weight if weight else float("nan")


PANEL = Panel(
    name="update_ratio",
    title="Update ratio",
    healthy="Healthy: about 0.001 in every layer. Far below 0.0001 is too slow, above 0.1 too fast.",
    picture=picture,
    checks=("optimizer_step", "update_ratio"),
)
