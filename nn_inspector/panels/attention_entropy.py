"""Panel: whether attention looks at everything alike, or at one thing only."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layers import few, with_layers
from nn_inspector.panels.panel import Panel, Selection, ask_for


def picture(run: Run, selection: Selection) -> Chart:
    """Entropy of the attention weights of each attention layer over the greatest possible, now and at the first step."""
    layers = few(run.sources("attention_entropy"))
    values = [run.series("attention_entropy", layer).values for layer in layers]
    chart = Chart(
        kind="rows",
        x_label="entropy of the attention / the greatest possible",
        y_label="layer, from input to output",
        series={
            "first step": curve([float(series[0]) for series in values], "faint"),
            "now": curve([float(series[-1]) for series in values], "points"),
        }
        if layers
        else {},
        top=1.0,
        note="" if layers else ask_for("attention", run),
    )
    return with_layers(chart, run, layers, selection.layer)


PANEL = Panel(
    name="attention_entropy",
    title="Attention",
    healthy="Healthy: somewhere between 0, where each looks at one thing only, and 1, where all is looked at alike.",
    picture=picture,
    related=("activation_scale", "batch_dependency"),
)
