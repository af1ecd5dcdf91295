"""Panel: how much memory the training takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Run, Series
from nn_inspector.panels.loss import decimate
from nn_inspector.panels.panel import Panel, Selection

_GIB, _MIB = float(2**30), float(2**20)
_FEW = 0.5 * _GIB
"""Less than this is told in MiB."""


def picture(run: Run, selection: Selection) -> Chart:
    """Memory in use: of this process, and what is allocated on the device of the model."""
    known = {source: run.series("memory_bytes", source) for source in run.sources("memory_bytes")}
    most = max((float(np.max(series.high, initial=0.0)) for series in known.values()), default=0.0)
    unit, size = ("GiB", _GIB) if most >= _FEW else ("MiB", _MIB)
    if not known:
        return Chart("lines", "step", unit, {}, note="Not measured, or the system does not tell." if run.steps else "")
    series = {source: _in_units(one, size) for source, one in known.items()}
    note = " ".join(f"{source}: {_said(one, unit)}" for source, one in series.items())
    curves = {source: decimate(one, "main" if len(one) > 1 else "points") for source, one in series.items()}
    return Chart("lines", "step", unit, curves, note=note)


def _said(series: Series, unit: str) -> str:
    """What is in use now, and how much that is above the first value.

    Example:
        >>> _said(Series.exact(np.array([0, 9]), np.array([440.0, 452.5])), "MiB")
        '452 MiB now, +12.5 since the beginning.'
    """
    first, now = float(series.values[0]), float(series.values[-1])
    return f"{now:.3g} {unit} now, {now - first:+.3g} since the beginning."


def _in_units(series: Series, size: float) -> Series:
    return replace(series, values=series.values / size, low=series.low / size, high=series.high / size)


PANEL = Panel(
    name="memory",
    title="Memory",
    healthy="Healthy: level after the first steps. A line that climbs on and on: something holds on to old steps.",
    picture=picture,
    checks=("retained_state",),
)
