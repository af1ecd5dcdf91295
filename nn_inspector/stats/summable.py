"""Summaries as plain sums, so that those of several processes become one by adding them up: in one all-reduce.

The extremes do not add up and are not exchanged: no quantity that is measured is one. The histogram tells them up to a factor
of two.
"""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.stats.magnitudes import BINS, PATTERNS, fold_patterns_on_host
from nn_inspector.stats.summary import FIELDS, Summary

SUM_FIELDS = ("count", "nan", "inf", "zeros", "sum", "squares")
"""What stands before the histogram in a row of `pack_sums`."""

_COUNT, _ZEROS, _MEAN = (SUM_FIELDS.index(name) for name in ("count", "zeros", "sum"))
_WIDTH = len(SUM_FIELDS) + BINS


def pack_sums(rows: np.ndarray, *more: np.ndarray) -> np.ndarray:
    """Turn rows of `describe_rows` or `summarize_rows` that have reached the host into rows that may be added up.

    In float64 the squares of all float32 values are representable (of float64 values, those up to 1e154), and a spread above a ten-millionth of the mean
    survives the difference of sums.

    Args:
        rows: [rows, len(FIELDS) + PATTERNS] or [rows, len(FIELDS) + BINS].
        more: further columns, [rows] each.

    Returns:
        float64 [rows, len(SUM_FIELDS) + BINS + further columns].
    """
    rows = np.asarray(rows, dtype=np.float64)
    packed = np.empty((len(rows), _WIDTH + len(more)))
    packed[:, :_MEAN] = rows[:, :_MEAN]
    count, nan, inf, _, mean, spread = rows[:, : _MEAN + 2].T
    n = count - nan - inf
    with np.errstate(over="ignore"):
        packed[:, _MEAN] = mean * n
        packed[:, _MEAN + 1] = (spread**2 + mean**2) * n
    counts, histograms = rows[:, len(FIELDS) :], packed[:, len(SUM_FIELDS) : _WIDTH]
    if counts.shape[1] == PATTERNS:
        fold_patterns_on_host(counts, histograms)
    else:
        histograms[:] = counts
    for place, column in enumerate(more, _WIDTH):
        packed[:, place] = column
    return packed


def add_zeros(packed: np.ndarray, zeros: np.ndarray) -> None:
    """Count so many more zeros in each row of `pack_sums`, [rows]; they need not be whole numbers."""
    for column in (_COUNT, _ZEROS, len(SUM_FIELDS) + BINS // 2):
        packed[:, column] += zeros


def unpack_sums(row: np.ndarray) -> Summary:
    """The summary of all that was added up. Its extremes are NaN.

    Example:
        >>> from nn_inspector.stats import summarize_rows
        >>> import torch
        >>> a, b = pack_sums(summarize_rows(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([2, 2])).numpy())
        >>> unpack_sums(a + b).mean
        4.0
    """
    count, nan, inf, zeros = (int(value) for value in row[:4])
    n = count - nan - inf
    total, squares = float(row[4]), float(row[5])
    mean = total / n if n else 0.0
    deviations = max(squares - n * mean**2, 0.0)
    histogram = np.array(row[len(SUM_FIELDS) : len(SUM_FIELDS) + BINS], dtype=np.float64)
    return Summary(count, nan, inf, zeros, mean, deviations, math.nan, math.nan, histogram)
