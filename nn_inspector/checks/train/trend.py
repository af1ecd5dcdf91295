"""What a noisy series of numbers does: its level, its trend, its jumps. Pure functions, robust against single outliers."""

from __future__ import annotations

import math

import numpy as np

MAD_TO_SIGMA = 1.4826
"""Of normal numbers the median absolute deviation times this is the standard deviation."""


def block_medians(values: np.ndarray, blocks: int) -> np.ndarray:
    """Medians of up to `blocks` stretches of about equal length; NaN where a stretch holds nothing finite.

    Args:
        values: float [points].
        blocks: how many stretches; as many as there are points if there are fewer.

    Example:
        >>> block_medians(np.array([1.0, 9.0, 1.0, 2.0, 2.0, 2.0]), 2)
        array([1., 2.])
    """
    parts = np.array_split(np.asarray(values, dtype=np.float64), max(1, min(blocks, len(values))))
    return np.array([_median(part) for part in parts])


def theil_sen(values: np.ndarray) -> float:
    """The slope of a straight line through the values, a unit apart: the median of the slopes of all pairs.

    Up to 29 % of the values may be anything. Source: Sen, Estimates of the regression coefficient based on Kendall's
    tau (1968). 0 for fewer than two finite values.

    Example:
        >>> theil_sen(np.array([0.0, 1.0, 2.0, 100.0, 4.0]))
        1.0
    """
    places, values = _finite(values)
    if len(values) < 2:
        return 0.0
    first, second = np.triu_indices(len(values), 1)
    return float(np.median((values[second] - values[first]) / (places[second] - places[first])))


def mann_kendall(values: np.ndarray) -> float:
    """How sure it is that the values rise (above 0) or fall (below 0), as a standard normal number.

    Counts in how many pairs the later value is the larger one; ties are taken into account. Sources: Mann,
    Nonparametric tests against trend (1945); Kendall, Rank Correlation Methods. 0 for fewer than three finite values.

    Example:
        >>> round(mann_kendall(np.arange(10.0)), 2), mann_kendall(np.ones(10))
        (3.94, 0.0)
    """
    _, values = _finite(values)
    count = len(values)
    if count < 3:
        return 0.0
    first, second = np.triu_indices(count, 1)
    score = float(np.sign(values[second] - values[first]).sum())
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    variance = (count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    return (score - math.copysign(1, score)) / math.sqrt(variance) if score and variance > 0 else 0.0


def jumps(values: np.ndarray, *, sigmas: float, window: int = 20) -> np.ndarray:
    """Places where a value stands out upwards from those before it, on a logarithmic scale.

    Args:
        values: float [points] above 0; what is not finite or not above 0 does not count.
        sigmas: how far it stands above the median of up to `window` values before it, in robust standard deviations.
        window: how many values before it are compared with; the first `window` // 2 values are never jumps.

    Returns:
        int64 [jumps], ascending.

    Example:
        >>> jumps(np.array([1.0, 1.1, 0.9, 1.0, 1.1, 50.0, 1.0, 0.9]), sigmas=5, window=6)
        array([5])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(values, dtype=np.float64))
    found = []
    for place in range(max(2, window // 2), len(logs)):
        before = logs[max(0, place - window) : place]
        before = before[np.isfinite(before)]
        if len(before) < 3 or not np.isfinite(logs[place]):
            continue
        middle = float(np.median(before))
        spread = max(MAD_TO_SIGMA * float(np.median(np.abs(before - middle))), 1e-3)
        if logs[place] - middle > sigmas * spread:
            found.append(place)
    return np.array(found, dtype=np.int64)


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def _finite(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, dtype=np.float64)
    places = np.flatnonzero(np.isfinite(values))
    return places, values[places]
