"""Panel: how large the whole gradient is, over time."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Run, Series
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the gradient of all parameters together, at each measured step."""
    total = total_norm(run)
    series = {"each measured step": decimate(total, "faint"), "smoothed": smoothed(total)} if len(total) else {}
    broken = int((~np.isfinite(total.values)).sum())
    return Chart(
        kind="lines",
        x_label="step",
        y_label="gradient norm",
        series=series,
        log=True,
        note=f"{broken} norms are NaN, Inf or above 1e19." if broken else "",
    )


def total_norm(run: Run) -> Series:
    """The root of the sum of the squares of all gradient norms, at the steps where all were measured."""
    parts = [run.series("gradient_norm", name) for name in run.sources("gradient_norm")]
    if not parts:
        return Series.join([])
    steps = parts[0].steps
    for part in parts[1:]:
        steps = np.intersect1d(steps, part.steps, assume_unique=True)
    squares = np.zeros(len(steps))
    with np.errstate(over="ignore"):
        for part in parts:
            squares += part.values[np.searchsorted(part.steps, steps)] ** 2
    return Series.exact(steps, np.sqrt(squares))


PANEL = Panel(
    name="gradient_norm",
    title="Gradient norm",
    healthy="Healthy: level or slowly falling. Jumps of a factor of ten are worth a clip.",
    picture=picture,
    checks=("exploding_gradients", "zeroed_gradients"),
)
