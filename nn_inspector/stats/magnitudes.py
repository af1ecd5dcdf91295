"""Histogram of signed magnitudes in powers of two: one fixed set of bins for anything a network can contain.

Fixed bins can be added up over steps, layers and processes, and show a distribution that grows or shrinks by
orders of magnitude, where bins fitted to each batch hide it.
"""

from __future__ import annotations

import numpy as np
import torch

from nn_inspector.stats.counting import count_in_rows

EXPONENTS = range(-40, 24)
"""Bin k of either sign holds the magnitudes in [2^e, 2^(e+1)) for e = EXPONENTS[k]; the outer ones hold all beyond."""

BINS = 2 * len(EXPONENTS) + 1
"""Negative magnitudes from large to small, then one bin for zero and everything below 2^-40, then positive ones."""

_MIDDLE = len(EXPONENTS)
PATTERNS = 512
"""Of sign and exponent in a float32."""

_FIRST, _LAST, _NONFINITE = EXPONENTS.start + 127, EXPONENTS.stop + 126, 255
"""Biased exponents of the first and the last bin of either sign, and of NaN and Inf."""


def magnitude_histogram(rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Count the elements of each row by sign and power of two.

    Args:
        rows: float32 [rows, elements]; the exponent is read from its bits, so it is exact. NaN and Inf are left out: they are counted by `summarize_rows`.
        weights: float32 [rows, elements], 1 for what counts and 0 for what does not; None if all count.

    Returns:
        float32 [rows, BINS]: counts. They are exact up to 2^24 elements a row.

    Example:
        >>> counts = magnitude_histogram(torch.tensor([[0.0, 1.0, 1.5, -4.0]]))
        >>> [(bin - len(EXPONENTS), int(n)) for bin, n in enumerate(counts[0]) if n]
        [(-43, 1), (0, 1), (41, 2)]
    """
    if weights is None:
        weights = torch.ones((), dtype=torch.float32, device=rows.device).expand(rows.shape)
    return fold_patterns(count_patterns(rows, weights))


def count_patterns(rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Count the elements of each row by the sign and exponent in their bits: float32 [rows, 512].

    Patterns 0 and 256 are those of zero, together with magnitudes below 2^-126.
    """
    patterns = (rows.view(torch.int32) >> 23).bitwise_and_(PATTERNS - 1).to(torch.int64)
    return count_in_rows(patterns, PATTERNS, weights)


def fold_patterns(counts: torch.Tensor) -> torch.Tensor:
    """The histogram [rows, BINS] from `count_patterns`."""
    signs = counts.view(-1, 2, _NONFINITE + 1)
    zero = signs[:, :, :_FIRST].sum((1, 2))[:, None]
    inner, outer = signs[:, :, _FIRST:_LAST], signs[:, :, _LAST:_NONFINITE].sum(2)
    return torch.cat([outer[:, 1:], inner[:, 1].flip(1), zero, inner[:, 0], outer[:, :1]], dim=1)


def fold_patterns_on_host(counts: np.ndarray, histograms: np.ndarray) -> None:
    """The same, of counts that have reached the host, written into `histograms`."""
    signs = counts.reshape(-1, 2, _NONFINITE + 1)
    np.add.reduce(signs[:, :, :_FIRST], axis=(1, 2), out=histograms[:, _MIDDLE])
    histograms[:, _MIDDLE + 1 : -1] = signs[:, 0, _FIRST:_LAST]
    histograms[:, _MIDDLE - 1 : 0 : -1] = signs[:, 1, _FIRST:_LAST]
    np.add.reduce(signs[:, 0, _LAST:_NONFINITE], axis=1, out=histograms[:, -1])
    np.add.reduce(signs[:, 1, _LAST:_NONFINITE], axis=1, out=histograms[:, 0])


def bin_edges(index: int) -> tuple[float, float]:
    """Between which values the elements of a bin lie; the outer bins end at infinity.

    Example:
        >>> bin_edges(len(EXPONENTS) + 41)
        (1.0, 2.0)
    """
    octave = index - _MIDDLE
    if octave == 0:
        return -(2.0**EXPONENTS.start), 2.0**EXPONENTS.start
    low = 2.0 ** EXPONENTS[abs(octave) - 1]
    high = np.inf if abs(octave) == len(EXPONENTS) else 2 * low
    return (low, high) if octave > 0 else (-high, -low)
