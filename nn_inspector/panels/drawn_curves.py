"""From a chart's values to what bqplot can draw: see the rules in `chart_widget.py`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve

DASH = 0.1
"""So long is the line of the first step, in steps: the axis then holds one."""


def decades(chart: Chart) -> tuple[float, float]:
    """The whole powers of ten, as exponents, between which all of a chart lies: values, band and levels."""
    values = np.concatenate(
        [curve.y for curve in chart.series.values()]
        + [np.array(chart.band[:2] if chart.band else []), np.array(list(chart.levels.values()))]
    )
    powers = drawn_values(values, log=True)
    if not np.isfinite(powers).any():
        return 0.0, 1.0
    low, high = math.floor(np.nanmin(powers)), math.ceil(np.nanmax(powers))
    return float(low), float(max(high, low + 1))


def drawn_values(values: np.ndarray, log: bool) -> np.ndarray:
    """A fresh array of what is drawn: logarithms if so, and NaN for what has no place."""
    fresh = np.array(values, dtype=np.float64)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            fresh = np.log10(fresh)
    fresh[~np.isfinite(fresh)] = math.nan
    return fresh


def finite(curve: Curve, log: bool) -> Curve:
    """Without the points that have no place: bqplot leaves gaps in lines, but not for markers."""
    keep = np.isfinite(drawn_values(curve.y, log))
    return replace(curve, x=np.asarray(curve.x)[keep], y=np.asarray(curve.y)[keep])


def with_an_end(curve: Curve, log: bool) -> Curve:
    """With the last value that can be drawn at its end: bqplot puts a label there, and cannot put it at NaN.

    A line of one point would not be seen: it becomes a dash.
    """
    known = np.flatnonzero(np.isfinite(drawn_values(curve.y, log)))
    if not len(known):
        return replace(curve, x=curve.x[:0], y=curve.y[:0])
    if len(curve.x) == 1:
        return replace(curve, x=curve.x[0] + np.array([0.0, DASH]), y=np.repeat(curve.y, 2))
    return replace(curve, y=np.append(curve.y[:-1], curve.y[known[-1]]))


def only(curve: Curve, places: tuple[int, ...]) -> Curve:
    """The points at some positions."""
    keep = np.isin(np.round(curve.x), places)
    return replace(curve, x=curve.x[keep], y=curve.y[keep])


def staircase(curve: Curve) -> Curve:
    """The outline of bars around their positions."""
    return Curve(np.append(curve.x - 0.5, curve.x[-1] + 0.5), np.append(curve.y, curve.y[-1]), curve.role)


def padded(values: np.ndarray, width: int) -> np.ndarray:
    """As many values as the longest curve has: the last one again, since NaN would have a marker or a sign somewhere."""
    return np.concatenate([values, np.repeat(values[-1:], width - len(values))]).astype(np.float64, copy=False)
