"""Series as cells: what was known of each thing at each of some steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nn_inspector.history import Chart, Heat, Run, Series
from nn_inspector.panels.layer_rows import Row, rows_for
from nn_inspector.panels.layers import layer_of, rows_of

MOST_COLUMNS = 100
"""Cells beside each other at most: bqplot needs 24 ms for some 4,000 cells."""


def no_cells(y_label: str, note: str = "") -> Chart:
    """The picture while there is nothing to draw."""
    nothing = Heat(np.zeros((0, 0)), 1.0, 0.0, 1.0, "")
    return Chart("rows", "step", y_label, {}, heat=nothing, note=note)


def columns(run: Run, measured: Sequence[Series]) -> np.ndarray:
    """The last step of each column: evenly over the whole run, no more columns than there are measured steps."""
    points = max((len(series) for series in measured), default=0)
    count = min(max(points, 1), MOST_COLUMNS)
    ends: np.ndarray = np.ceil(np.arange(1, count + 1) * max(run.steps, 1) / count).astype(np.int64) - 1
    return ends


def held(series: Series, steps: np.ndarray) -> np.ndarray:
    """The latest value at each of these steps, [steps] or [steps, width]; NaN before the first.

    Example:
        >>> held(Series.exact(np.array([2, 5]), np.array([1.0, 3.0])), np.array([0, 2, 4, 9])).tolist()
        [nan, 1.0, 1.0, 3.0]
    """
    places = np.searchsorted(series.steps, steps, side="right") - 1
    values = np.array(series.values[np.maximum(places, 0)], dtype=np.float64)
    values[places < 0] = np.nan
    return values


def rows_over_time(run: Run, quantity: str, steps: np.ndarray, selected: str | None = None) -> dict[Row, np.ndarray]:
    """The norm of each row of layers at these steps, from the norms of their parameters.

    Args:
        run: what was measured.
        quantity: a norm whose sources are parameters.
        steps: at which it is wanted.
        selected: the layer or block that is to have rows of its own.

    Returns:
        Row -> float64 [steps], in the order of the model.
    """
    parameters = _by_layer(run, quantity)
    return {
        row: _norm(run, quantity, [name for layer in row.layers for name in parameters[layer]], steps)
        for row in rows_for(list(parameters), selected)
    }


def selected_over_time(run: Run, quantity: str, steps: np.ndarray, selected: str | None) -> np.ndarray | None:
    """The norm of the selected layer or block at these steps, [steps]; None if nothing of it has such a norm."""
    layers = _by_layer(run, quantity)
    chosen = [name for place in rows_of(list(layers), selected) for name in list(layers.values())[place]]
    return _norm(run, quantity, chosen, steps) if chosen else None


def _by_layer(run: Run, quantity: str) -> dict[str, list[str]]:
    layers: dict[str, list[str]] = {}
    for parameter in run.sources(quantity):
        layers.setdefault(layer_of(parameter), []).append(parameter)
    return layers


def _norm(run: Run, quantity: str, parameters: Sequence[str], steps: np.ndarray) -> np.ndarray:
    total = np.zeros(len(steps))
    with np.errstate(over="ignore"):
        for parameter in parameters:
            total += held(run.series(quantity, parameter), steps) ** 2
    return np.sqrt(total)


def reach(values: np.ndarray) -> tuple[float, float]:
    """The whole powers of ten between which all values lie that are above zero.

    Example:
        >>> reach(np.array([0.0, 0.003, 2.0, np.nan]))
        (0.001, 10.0)
    """
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return 0.1, 1.0
    low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    return float(10.0**low), float(10.0 ** max(high, low + 1))
