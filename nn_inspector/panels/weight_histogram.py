"""Panel: the distribution of one layer's weights."""

from __future__ import annotations

from nn_inspector.history import Chart, Run
from nn_inspector.panels.distribution import bars
from nn_inspector.panels.layers import layer_of, parameter_of
from nn_inspector.panels.panel import Panel, Selection, ask_for


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the weights of one parameter by sign and power of two, at the latest measured step and at the first."""
    parameter = parameter_of(run.sources("weight_histogram"), selection.layer)
    if parameter is None:
        return Chart("bars", "weight", "share of the weights", {}, note=ask_for("weight_distributions", run))
    spread = run.last("weight_spread", parameter)
    note = f"Spread {spread:.3g}." if spread is not None else ""
    return bars(run, "weight_histogram", parameter, "weight", layer=layer_of(parameter), note=note)


PANEL = Panel(
    name="weight_histogram",
    title="Weight histogram",
    healthy="Healthy: a hump around zero that grows broader slowly; no spikes far outside.",
    picture=picture,
    checks=("symmetry", "weight_scale", "weight_spread"),
)
