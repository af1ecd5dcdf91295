"""Panel: the learning rate of each parameter group, over time."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.clip_share import clipping
from nn_inspector.panels.gradient_norm import total_norm
from nn_inspector.panels.panel import Panel, Selection

MOST_GROUPS = 5
MOST_CHANGES = 500


def picture(run: Run, selection: Selection) -> Chart:
    """Learning rates, as they were set at each measured step; below, how often gradients were clipped."""
    groups = run.sources("learning_rate")
    series = {group: stairs(run.series("learning_rate", group), run.steps) for group in groups[:MOST_GROUPS]}
    left_out = len(groups) - MOST_GROUPS
    notes = [f"{left_out} more parameter groups are not shown."] if left_out > 0 else []
    clip = clipping(run, total_norm(run)) if run.trace else None
    if clip is not None:
        notes.append(f"Gradients were clipped to a norm of {clip.limit:.3g} in {clip.share:.0%} of the measured steps.")
    return Chart("lines", "step", "learning rate", series, log=_varies(run), note=" ".join(notes))


def stairs(series: Series, steps: int) -> Curve:
    """A rate is noted when it changes: from each change to the next one it is level."""
    points = min(len(series), MOST_CHANGES)
    chosen = (
        np.unique(np.linspace(0, len(series) - 1, points).round().astype(int)) if points else np.zeros(0, dtype=int)
    )
    x = np.repeat(series.steps[chosen].astype(np.float64), 2)
    return (
        Curve(np.append(x[1:], max(float(steps), x[-1])), np.repeat(series.values[chosen], 2))
        if points
        else Curve(x, x)
    )


def _varies(run: Run) -> bool:
    """Whether the rates lie so far apart that only a logarithmic scale shows them all."""
    values = [value for group in run.sources("learning_rate") for value in run.series("learning_rate", group).values]
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) > 10 * min(positive)


PANEL = Panel(
    name="learning_rate",
    title="Learning rate",
    healthy="Healthy: what you meant it to be: level, or warmed up at first and falling later.",
    picture=picture,
    checks=("learning_rate", "optimizer_settings", "scheduler"),
)
