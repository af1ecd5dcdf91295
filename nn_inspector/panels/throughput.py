"""Panel: how many items are trained on in a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Items trained on in a second, waiting and watching included; steps where the size of a batch is not known."""
    size = run.parameters.get("loaders", {}).get("train", {}).get("batch_size")
    items = size if isinstance(size, int) else None
    rate = _rate(run, items or 1)
    series: dict[str, Curve] = (
        {"each measured step": decimate(rate, "faint"), "smoothed": smoothed(rate)} if len(rate) else {}
    )
    return Chart("lines", "step", f"{'items' if items else 'steps'} a second", series)


def _rate(run: Run, items: int) -> Series:
    step, own = (run.series(name, "train") for name in ("step_seconds", "own_seconds"))
    seconds = step.values.copy()
    _, here, there = np.intersect1d(step.steps, own.steps, assume_unique=True, return_indices=True)
    seconds[here] += own.values[there]
    with np.errstate(divide="ignore"):
        rate = np.where(seconds > 0, items / seconds, np.nan)
    return replace(step, values=rate, low=rate, high=rate)


PANEL = Panel(
    name="throughput",
    title="Throughput",
    healthy="Healthy: level. If it falls and falls, something piles up; if it drops, something else takes the machine.",
    picture=picture,
    checks=("retained_state",),
)
