"""Panel: how long a step takes, and how much of it is waiting for data."""

from __future__ import annotations

from dataclasses import replace

from nn_inspector.history import Chart, Run, Series
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Milliseconds of each measured step, and of them those spent waiting for the loader."""
    step, data = (_milliseconds(run.series(name, "train")) for name in ("step_seconds", "data_seconds"))
    series = {"each step": decimate(step, "faint"), "whole step": smoothed(step)} if len(step) else {}
    series |= {"waiting for data": smoothed(data)} if len(data) else {}
    memory = max((run.last("memory_bytes", source) or 0.0 for source in run.sources("memory_bytes")), default=0.0)
    note = f"Memory in use: {memory / 2**30:.2g} GiB." if memory else ""
    return Chart("lines", "step", "milliseconds", series, note=note)


def _milliseconds(series: Series) -> Series:
    return replace(series, values=1000 * series.values, low=1000 * series.low, high=1000 * series.high)


PANEL = Panel(
    name="speed",
    title="Time of a step",
    healthy="Healthy: level, with little waiting for data. A curve that climbs means something piles up.",
    picture=picture,
)
