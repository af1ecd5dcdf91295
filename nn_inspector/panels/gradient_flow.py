"""Panel: how large the gradient is in each layer."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layer_rows import rows_for
from nn_inspector.panels.layers import extremes, norms, norms_in, not_finite, with_layers
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Gradient norm by layer, at the latest measured step and at the first; of several layers in a row also the least."""
    first, now = norms(run, "gradient_norm")
    rows = rows_for(list(now), selection.layer)
    without = [layer for layer, norm in now.items() if norm == 0]
    notes = [f"Gradient is zero in: {', '.join(without[:4])}."] if without else []
    notes.append(not_finite("Gradient is", now))
    series = {
        "first step": curve(norms_in(rows, first), "faint"),
        "now": curve(norms_in(rows, now), "points"),
        **extremes(rows, now, "least"),
    }
    chart = Chart(
        kind="rows",
        x_label="gradient norm",
        y_label="layer, from input to output",
        series=series if now else {},
        log=True,
        note=" ".join(note for note in notes if note),
    )
    return with_layers(chart, run, rows, selection.layer)


PANEL = Panel(
    name="gradient_flow",
    title="Gradient flow",
    healthy="Healthy: all layers within a factor of about 100 of each other, none at zero.",
    picture=picture,
    checks=("gradient_flow", "vanishing_gradients"),
)
