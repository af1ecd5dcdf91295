"""Histogram of signed magnitudes in powers of two: one fixed set of bins for anything a network can contain.

Fixed bins can be added up over steps, layers and processes, and show a distribution that grows or shrinks by
orders of magnitude, where bins fitted to each batch hide it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

EXPONENTS = range(-40, 24)
"""Bin k of either sign holds the magnitudes in [2^e, 2^(e+1)) for e = EXPONENTS[k]; the outer ones hold all beyond."""

BINS = 2 * len(EXPONENTS) + 1
"""Negative magnitudes from large to small, then one bin for zero and everything below 2^-40, then positive ones."""

_MIDDLE = len(EXPONENTS)
_PATTERNS = 512  # of sign and exponent in a float32
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
    patterns = (rows.view(torch.int32) >> 23).bitwise_and_(_PATTERNS - 1).to(torch.int64)
    counts = torch.zeros(rows.shape[0], _PATTERNS, dtype=torch.float32, device=rows.device)
    with _any_order(rows.device):
        return counts.scatter_add_(1, patterns, weights)


def fold_patterns(counts: torch.Tensor) -> torch.Tensor:
    """The histogram [rows, BINS] from `count_patterns`."""
    signs = counts.view(-1, 2, _NONFINITE + 1)
    zero = signs[:, :, :_FIRST].sum((1, 2))[:, None]
    inner, outer = signs[:, :, _FIRST:_LAST], signs[:, :, _LAST:_NONFINITE].sum(2)
    return torch.cat([outer[:, 1:], inner[:, 1].flip(1), zero, inner[:, 0], outer[:, :1]], dim=1)


def _any_order(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Sums of whole numbers are the same in any order: they go ahead where the user has torch refuse what depends on it."""
    refused = device.type != "cpu" and torch.are_deterministic_algorithms_enabled()
    return _allowed() if refused else _AS_IT_IS


_AS_IT_IS = contextlib.nullcontext()


@contextlib.contextmanager
def _allowed() -> Iterator[None]:
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)  # noqa: FBT003 - torch's own signature
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)  # noqa: FBT003


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
