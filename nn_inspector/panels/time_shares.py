"""Panel: which parts of the time go into waiting for data, and into watching."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.loss import smoothed
from nn_inspector.panels.panel import Panel, Selection

_PARTS = {"waiting for data": "data_seconds", "watching": "own_seconds"}


def picture(run: Run, selection: Selection) -> Chart:
    """Percent of the time that goes into waiting for the loader and into watching; the rest is the training itself."""
    step, own = (run.series(name, "train") for name in ("step_seconds", "own_seconds"))
    series: dict[str, Curve] = {}
    for name, quantity in _PARTS.items():
        share = _percent(run.series(quantity, "train"), step, own)
        if len(share):
            series[name] = smoothed(share)
    waits = "waiting for data" in series
    note = "" if waits or not series else "Waiting for data is not known: no DataLoader is watched as train_loader."
    return Chart("lines", "step", "% of the time", series, note=note)


def _percent(part: Series, step: Series, own: Series) -> Series:
    """What a part is of the whole step with watching, at the steps at which all were measured."""
    steps = np.intersect1d(np.intersect1d(part.steps, step.steps), own.steps)
    some, whole, watching = (one.values[np.searchsorted(one.steps, steps)] for one in (part, step, own))
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = 100 * some / (whole + watching)
    counts = part.counts[np.searchsorted(part.steps, steps)]
    return replace(Series.exact(steps, percent), counts=counts)


PANEL = Panel(
    name="time_shares",
    title="Waiting and watching",
    healthy="Healthy: both near 0 %. Much waiting: more workers, or lighter preparation of the data.",
    picture=picture,
    related=("retained_state",),
)
