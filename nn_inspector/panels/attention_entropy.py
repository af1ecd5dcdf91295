"""Panel: whether attention looks at everything alike, or at one thing only."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layer_rows import rows_for
from nn_inspector.panels.layers import with_layers
from nn_inspector.panels.panel import Panel, Selection, ask_for


def picture(run: Run, selection: Selection) -> Chart:
    """Entropy of the attention weights of each attention layer over the greatest possible, now and at the first step."""
    values = {layer: run.series("attention_entropy", layer).values for layer in run.sources("attention_entropy")}
    rows = rows_for(list(values), selection.layer)
    means = {
        place: [float(np.mean([values[layer][place] for layer in row.layers])) for row in rows] for place in (0, -1)
    }
    note = "Of several layers, the mean." if len(rows) < len(values) else ""
    chart = Chart(
        kind="rows",
        x_label="entropy of the attention / the greatest possible",
        y_label="layer, from input to output",
        series={
            "first step": curve(means[0], "faint"),
            "now": curve(means[-1], "points"),
        }
        if rows
        else {},
        top=1.0,
        note=note if rows else ask_for("attention", run),
    )
    return with_layers(chart, run, rows, selection.layer)


PANEL = Panel(
    name="attention_entropy",
    title="Attention",
    healthy="Healthy: somewhere between 0, where each looks at one thing only, and 1, where all is looked at alike.",
    picture=picture,
    checks=("hidden_activation",),
    related=("activation_scale", "batch_dependency"),
    of_one_kind=True,
)
