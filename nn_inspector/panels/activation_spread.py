"""Panel: how far the outputs of each layer spread, from input to output."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layers import few, with_layers
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Standard deviation of each module's output, at the latest measured step and at the first."""
    layers = few(run.sources("activation_spread"))
    spreads = [run.series("activation_spread", layer).values for layer in layers]
    shown = {"first step": 0, "now": -1} if layers else {}
    chart = Chart(
        kind="rows",
        x_label="standard deviation of the outputs",
        y_label="layer, from input to output",
        series={
            name: curve([float(values[place]) for values in spreads], "faint" if place == 0 else "points")
            for name, place in shown.items()
        },
        log=True,
    )
    return with_layers(chart, run, layers, selection.layer)


PANEL = Panel(
    name="activation_spread",
    title="Spread of activations",
    healthy="Healthy: all layers within a factor of about ten; not shrinking or growing from row to row.",
    picture=picture,
    checks=("activation_scale", "normalization", "weight_scale"),
)
