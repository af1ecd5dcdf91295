"""Quantiles from a histogram of magnitudes."""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.stats.magnitudes import BINS, bin_edges


def quantile(histogram: np.ndarray, q: float, *, zeros: int, low: float, high: float) -> float:
    """The element of rank `ceil(q * n)`, up to its place within its bin.

    Within a bin the elements are taken to lie evenly, between its edges and the extremes.

    Args:
        histogram: [BINS], counts of the finite elements.
        q: between 0 and 1.
        zeros: how many of the elements are exactly zero.
        low: the least element, or NaN where it is not known.
        high: the greatest element, or NaN.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"q should be between 0 and 1, but it is {q}")
    total = histogram.sum()
    if total == 0:
        return math.nan
    if q in (0, 1) and not math.isnan(low):
        return high if q else low
    rank = max(math.ceil(q * total), 1)
    cumulated = np.cumsum(histogram)
    found = int(np.searchsorted(cumulated, rank))
    count = histogram[found]
    if found == BINS // 2 and abs(zeros - count) < 1:  # of a sample, that is rounded
        return 0.0
    first, last = bin_edges(found)
    first = float(np.fmax(first, low)) if math.isfinite(first) or not math.isnan(low) else 2 * last
    last = float(np.fmin(last, high)) if math.isfinite(last) or not math.isnan(high) else 2 * first
    place = (rank - (cumulated[found] - count) - 0.5) / count
    return float(first + place * (last - first))
