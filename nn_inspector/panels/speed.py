"""Panel: how long a step takes, and how much of it is waiting for data, or ours."""

from __future__ import annotations

from dataclasses import replace

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Milliseconds of each measured step, those of them spent waiting for the loader, and what watching costs besides."""
    step, data, own = (
        _milliseconds(run.series(name, "train")) for name in ("step_seconds", "data_seconds", "own_seconds")
    )
    series: dict[str, Curve] = {}
    if len(step):
        series = {"each step": decimate(step, "faint"), "whole step": smoothed(step)}
    series |= {name: smoothed(part) for name, part in (("waiting for data", data), ("watching", own)) if len(part)}
    return Chart("lines", "step", "milliseconds", series, note=_note(run, step))


def _note(run: Run, step: Series) -> str:
    notes = []
    if len(step) and step.values[-1] > 0:
        rate = 1000 / step.values[-1]
        size = run.parameters.get("loaders", {}).get("train", {}).get("batch_size")
        items = f", {rate * size:,.0f} items" if isinstance(size, int) else ""
        notes.append(f"{rate:.3g} steps{items} a second.")
    memory = max((run.last("memory_bytes", source) or 0.0 for source in run.sources("memory_bytes")), default=0.0)
    notes += [f"Memory in use: {memory / 2**30:.2g} GiB."] if memory else []
    return " ".join(notes)


def _milliseconds(series: Series) -> Series:
    return replace(series, values=1000 * series.values, low=1000 * series.low, high=1000 * series.high)


PANEL = Panel(
    name="speed",
    title="Time of a step",
    healthy="Healthy: level, with little waiting for data. A curve that climbs means something piles up.",
    picture=picture,
    checks=("retained_state",),
)
