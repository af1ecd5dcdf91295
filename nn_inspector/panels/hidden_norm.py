"""Panel: whether the hidden state of a recurrent layer fades or explodes along the sequence."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.panels.layers import one_of
from nn_inspector.panels.panel import Panel, Selection, ask_for


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the hidden state from the beginning of the sequence to its end, at the latest measured step and at the first."""
    layer = one_of(run.sources("hidden_norm"), selection.layer)
    if layer is None:
        return Chart("lines", "place in the sequence, in %", "norm", {}, log=True, note=ask_for("hidden_states", run))
    values = run.series("hidden_norm", layer).values
    places = np.linspace(0.0, 100.0, values.shape[1])
    return Chart(
        kind="lines",
        x_label="place in the sequence, in %",
        y_label=f"norm of the hidden state of {layer}",
        series={"first step": Curve(places, values[0], "faint"), "now": Curve(places, values[-1], "points")},
        log=True,
    )


PANEL = Panel(
    name="hidden_norm",
    title="Hidden states",
    healthy="Healthy: much the same from the beginning of the sequence to its end; neither fading nor exploding.",
    picture=picture,
    checks=("exploding_gradients", "vanishing_gradients"),
    related=("retained_state",),
)
