"""Panel: the distribution of one layer's output, over time."""

from __future__ import annotations

from nn_inspector.history import Chart, Heat, Run
from nn_inspector.panels.activation_histogram import not_measured
from nn_inspector.panels.distribution import fold, outermost, shares, ticks
from nn_inspector.panels.layers import one_of
from nn_inspector.panels.over_time import columns, held, no_cells
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the outputs by sign and power of two, from the first step to now; large values at the top."""
    layer = one_of(run.sources("activation_histogram"), selection.layer)
    if layer is None:
        return no_cells("output", not_measured(run, selection))
    series = run.series("activation_histogram", layer)
    counts = held(series, columns(run, [series]))
    top = outermost(series.values)
    share = shares(fold(counts, top))[:, ::-1].T
    return Chart(
        kind="rows",
        x_label="step",
        y_label=f"output of {layer}",
        series={},
        labels=tuple((len(share) - 1 - place, text) for place, text in reversed(ticks(top))),
        heat=Heat(share, float(max(run.steps, 1)), 0.0, 0.25, "share of the outputs"),
        top=float(max(run.steps, 1)),
        note=f"Outputs of {layer}. A quarter of them and more has the brightest colour.",
    )


PANEL = Panel(
    name="activation_history",
    title="Activations over time",
    healthy="Healthy: a band that stays where it is, or moves slowly; not a thin line at zero or at the ends.",
    picture=picture,
    checks=("activation_scale", "hidden_activation", "saturation"),
)
