"""Histogram of signed magnitudes in powers of two: one fixed set of bins for anything a network can contain.

Fixed bins can be added up over steps, layers and processes, and show a distribution that grows or shrinks by
orders of magnitude, where bins fitted to each batch hide it.
"""

from __future__ import annotations

import torch

EXPONENTS = range(-40, 24)
"""Bin k of either sign holds the magnitudes in [2^e, 2^(e+1)) for e = EXPONENTS[k]; the outer ones hold all beyond."""

BINS = 2 * len(EXPONENTS) + 1
"""Negative magnitudes from large to small, then one bin for zero and everything below 2^-40, then positive ones."""

_MIDDLE = len(EXPONENTS)


def magnitude_histogram(rows: torch.Tensor) -> torch.Tensor:
    """Count the elements of each row by sign and power of two.

    Args:
        rows: float32 [rows, elements]; the exponent is read from its bits, so it is exact. NaN and Inf are left out: they are counted by `summarize_rows`.

    Returns:
        float32 [rows, BINS]: counts. They are exact up to 2^24 elements a row.

    Example:
        >>> counts = magnitude_histogram(torch.tensor([[0.0, 1.0, 1.5, -4.0]]))
        >>> [(bin - len(EXPONENTS), int(n)) for bin, n in enumerate(counts[0]) if n]
        [(-43, 1), (0, 1), (41, 2)]
    """
    bits = rows.view(torch.int32)
    exponents = (bits >> 23).bitwise_and_(0xFF)
    nonfinite = (exponents + 1).bitwise_right_shift_(8)
    lowest = EXPONENTS.start + 126  # of the biased exponent; one below the first bin: the middle
    bins = exponents.clamp_(lowest, EXPONENTS.stop + 126).sub_(lowest)
    negative = bits >> 31  # -1 or 0
    bins.bitwise_xor_(negative).sub_(negative).add_(_MIDDLE)
    counts = torch.zeros(rows.shape[0], BINS, device=rows.device)
    return counts.scatter_add_(1, bins.to(torch.int64), (1 - nonfinite).to(torch.float32))
