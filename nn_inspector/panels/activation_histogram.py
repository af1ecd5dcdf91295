"""Panel: the distribution of one layer's output."""

from __future__ import annotations

from nn_inspector.history import Chart, Run
from nn_inspector.panels.distribution import bars
from nn_inspector.panels.layers import one_of
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the outputs by sign and power of two, at the latest measured step and at the first."""
    layer = one_of(run.sources("activation_histogram"), selection.layer)
    if layer is None:
        return Chart("bars", "output", "share of the outputs", {}, note=not_measured(run, selection))
    return bars(run, "activation_histogram", layer, "output", layer=layer, note=_note(run, layer))


def not_measured(run: Run, selection: Selection) -> str:
    """What is said where there is no output of the selected layer."""
    return f"The outputs of {selection.layer} were not measured." if selection.layer and run.steps else ""


def _note(run: Run, layer: str) -> str:
    zeros, spread = run.last("activation_zeros", layer), run.last("activation_spread", layer)
    saturated, nonfinite = run.last("activation_saturated", layer), run.last("activation_nonfinite", layer)
    parts = [f"{zeros:.0%} zeros" if zeros is not None else "", f"spread {spread:.3g}" if spread is not None else ""]
    parts.append(f"{saturated:.0%} saturated" if saturated is not None else "")
    parts.append(f"{nonfinite:.1%} NaN or Inf" if nonfinite else "")
    known = ", ".join(part for part in parts if part)
    return f"{known}." if known else ""


PANEL = Panel(
    name="activation_histogram",
    title="Activations",
    healthy="Healthy: a broad hump that stays where it began; not all at zero, not all at the ends.",
    picture=picture,
    checks=("activation_scale", "hidden_activation", "saturation"),
)
