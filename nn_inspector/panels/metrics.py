"""Panel: numbers that the training logs of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.probes import QUANTITIES

MOST_METRICS = 5
MOST_POINTS = 200
"""More results of validation are a line without markers."""

NOTHING = "Nothing was logged: inspector.log(accuracy=...) or inspector.validation(accuracy=...) does it."


def picture(run: Run, selection: Selection) -> Chart:
    """What was logged by `inspector.log()`, smoothed, and by `inspector.validation()`."""
    names = [name for name in run.quantities() if name not in QUANTITIES]
    series: dict[str, Curve] = {}
    for place, name in enumerate(names[:MOST_METRICS]):
        train, validation = run.series(name, "train"), run.series(name, "validation")
        if len(train):
            series[f"{name}, train"] = replace(smoothed(train), colour=place)
        if len(validation):
            steps = validation.steps.astype(np.float64)
            points = Curve(steps, validation.values, "points", colour=place)
            series[f"{name}, validation"] = (
                points if len(steps) < MOST_POINTS else replace(decimate(validation), colour=place)
            )
    left_out = len(names) - MOST_METRICS
    note = f"{left_out} more numbers are not shown." if left_out > 0 else ""
    return Chart("lines", "step", "value", series, note=note if series else NOTHING if run.steps else "")


PANEL = Panel(
    name="metrics",
    title="Metrics",
    healthy="Healthy: they get better as the loss falls, those of validation nearly as much as those of training.",
    picture=picture,
    checks=("human_baseline", "simpler_baseline", "split_shift", "training_length"),
)
