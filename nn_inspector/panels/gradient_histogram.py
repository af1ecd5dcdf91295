"""Panel: the distribution of one layer's gradients."""

from __future__ import annotations

from nn_inspector.history import Chart, Run
from nn_inspector.panels.distribution import bars
from nn_inspector.panels.layers import layer_of, parameter_of
from nn_inspector.panels.panel import Panel, Selection, ask_for


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the gradients of one parameter by sign and power of two, at the latest measured step and at the first."""
    parameter = parameter_of(run.sources("gradient_histogram"), selection.layer)
    if parameter is None:
        return Chart("bars", "gradient", "share of the gradients", {}, note=ask_for("gradient_distributions", run))
    spread = run.last("gradient_spread", parameter)
    note = f"Spread {spread:.3g}." if spread is not None else ""
    return bars(run, "gradient_histogram", parameter, "gradient", layer=layer_of(parameter), note=note)


PANEL = Panel(
    name="gradient_histogram",
    title="Gradient histogram",
    healthy="Healthy: a hump on both sides of zero, like that of the first step; not all about zero.",
    picture=picture,
    checks=("gradient_flow", "symmetry", "vanishing_gradients"),
)
