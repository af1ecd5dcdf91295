"""A distribution as bars: counts by sign and power of two, now and at the first measured step."""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.history import Chart, Run, curve
from nn_inspector.stats import BINS, EXPONENTS

OCTAVES = 14
"""Powers of two shown on either side of zero; what is smaller counts as about zero."""

_MIDDLE = BINS // 2


def bars(run: Run, quantity: str, source: str, what: str, *, layer: str, note: str = "") -> Chart:
    """Share of the elements in each bin, at the latest measured step and at the first.

    Args:
        run: where it was measured.
        quantity: whose values are histograms.
        source: of what.
        what: the elements, in words.
        layer: that the source is, or belongs to.
        note: what is said below.
    """
    series = run.series(quantity, source)
    now, first = run.last_vector(quantity, source), series.values[0]
    assert now is not None, "it was measured"
    top = outermost(now + first)
    return Chart(
        kind="bars",
        x_label=f"{what} of {source}",
        y_label=f"share of the {what}s",
        series={"now": curve(shares(fold(now, top))), "first step": curve(shares(fold(first, top)), "faint")},
        labels=ticks(top),
        layers=(layer,),
        note=note,
    )


def fold(counts: np.ndarray, top: int) -> np.ndarray:
    """The bins shown: `OCTAVES` of each sign up to bin `top` from the middle, and one for all that is smaller.

    Args:
        counts: [..., BINS], see `nn_inspector.stats.magnitudes`.
        top: the outermost bin shown, counted from the middle.
    """
    inner = top - OCTAVES
    negative = counts[..., _MIDDLE - top : _MIDDLE - inner]
    positive = counts[..., _MIDDLE + inner + 1 : _MIDDLE + top + 1]
    middle = counts[..., _MIDDLE - inner : _MIDDLE + inner + 1].sum(axis=-1, keepdims=True)
    return np.concatenate([negative, middle, positive], axis=-1)


def ticks(top: int) -> tuple[tuple[float, str], ...]:
    """Where zero and powers of ten lie among the bars of `fold`.

    Example:
        >>> [text for _, text in ticks(42)]  # up to 2^2
        ['-1', '-0.01', '0', '0.01', '1']
    """
    lowest = EXPONENTS.start + top - OCTAVES  # exponent of the innermost bin on either side
    places = [(float(OCTAVES), "0")]
    for power in range(math.floor((lowest + OCTAVES) / math.log2(10)), -30, -2):
        offset = power * math.log2(10) - lowest + 0.5
        if offset < 3:
            break
        text = f"{10.0**power:g}"
        places += [(OCTAVES + offset, text), (OCTAVES - offset, f"-{text}")]
    return tuple(sorted(places))


def outermost(counts: np.ndarray) -> int:
    """The outermost bin in use, counted from the middle; at least so far out that `fold` has its bins."""
    used = np.flatnonzero(np.atleast_2d(counts).sum(axis=0))
    return max(int(np.abs(used - _MIDDLE).max()) if len(used) else 0, OCTAVES)


def shares(counts: np.ndarray) -> np.ndarray:
    """Each count over all of its histogram: 0 where that is empty, NaN where it is not known."""
    total = counts.sum(axis=-1, keepdims=True)
    share: np.ndarray = np.divide(counts, total, out=np.zeros_like(counts), where=total != 0)
    return share
