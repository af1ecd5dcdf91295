"""The mean of what was measured, recent steps counting more."""

from __future__ import annotations

import numpy as np

KEPT = 0.95
"""Weight of the past, for each step."""


def moving_average(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Exponential moving average, corrected for its start as Adam corrects its moments (Kingma and Ba, 2015).

    With k = `KEPT` to the power of the steps since the value before, total = k total + (1 - k) value, and weight likewise for a value of
    1; the average is total / weight. A value that is not finite leaves what was before. All points are computed at once, each from twice
    as many before it in each pass (Hillis and Steele, 1986).

    Args:
        steps: int64 [points], ascending.
        values: float64 [points].

    Returns:
        float64 [points]; NaN up to the first finite value.

    Example:
        >>> moving_average(np.array([0, 1, 2]), np.array([np.nan, 2.0, 2.0])).round(6)
        array([nan,  2.,  2.])
    """
    finite = np.isfinite(values)
    past = np.where(finite, KEPT ** np.maximum(np.diff(steps, prepend=0), 1), 1.0)
    sums = np.stack([(1.0 - past) * np.where(finite, values, 0.0), 1.0 - past])
    reach = 1
    while reach < len(values):
        sums[:, reach:] = sums[:, reach:] + past[reach:] * sums[:, :-reach]
        past[reach:] = past[reach:] * past[:-reach]
        reach *= 2
    total, weight = sums
    averages: np.ndarray = np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)
    return averages
