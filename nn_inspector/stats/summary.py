"""The numbers that describe a tensor, for many tensors at once, and how two such descriptions merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from nn_inspector.stats.counting import MOST_COUNTED
from nn_inspector.stats.finite import is_finite
from nn_inspector.stats.magnitudes import BINS, count_patterns, fold_patterns
from nn_inspector.stats.quantiles import quantile
from nn_inspector.stats.sampling import strided_sample
from nn_inspector.stats.values import accumulation_type, stored_values

_BITS: dict[torch.dtype, tuple[torch.dtype, int, float]] = {
    torch.float32: (torch.int32, 0x7F800000, 2.0**-126),
    torch.float64: (torch.int64, 0x7FF0000000000000, 2.0**-1022),
}
"""The bits that hold the exponent, as integers: they alone are the power of two below a number; and the least of those."""

_LARGEST = torch.finfo(torch.float32).max

FIELDS = ("count", "nan", "inf", "zeros", "mean", "spread", "low", "high")
"""What stands before the histogram in a row of `summarize_rows`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a tensor, or of several taken together.

    NaN and Inf are counted and take no part in the other numbers: they are a finding, not a value.

    Attributes:
        count: all elements. nan, inf, zeros: how many of them are so; of a sample, how many that makes of all.
        mean, deviations: mean of the finite elements, and the sum of their squared distances from it: Inf where that is
            beyond the range of float64.
        low, high: least and greatest finite element; NaN if there is none.
        histogram: float64 [BINS], counts by sign and power of two (see `magnitudes`).
    """

    count: int
    nan: int
    inf: int
    zeros: int
    mean: float
    deviations: float
    low: float
    high: float
    histogram: np.ndarray

    @property
    def finite(self) -> int:
        """How many elements are neither NaN nor Inf."""
        return self.count - self.nan - self.inf

    @property
    def spread(self) -> float:
        """Standard deviation of the finite elements (divided by n, not n - 1); NaN if there is none."""
        return math.sqrt(self.deviations / self.finite) if self.finite else math.nan

    @property
    def norm(self) -> float:
        """Euclidean norm of the finite elements."""
        return math.sqrt(self.deviations + self.finite * self.mean * self.mean)

    @property
    def zero_share(self) -> float:
        """Share of exact zeros among all elements; NaN for an empty tensor."""
        return self.zeros / self.count if self.count else math.nan

    def quantile(self, q: float) -> float:
        """The value below which a share `q` of the finite elements lies, estimated from the histogram.

        Returns:
            An estimate in the same power of two as the element of rank `ceil(q * n)`: wrong by less than a factor of
            two, or by less than 2^-40 near zero; from 2^23 on it is only known to lie between that and the extreme. 0 and 1
            give the extremes exactly. NaN if there is no finite element.

            All this is said of the elements that were looked at. Of a sample of n, that element lies between the true
            quantiles of `q - e` and `q + e` with a probability of at least `1 - 2 * exp(-2 * n * e**2)`, for any e, as far as
            what `strided_sample` says of the order of the elements holds: for n = 1024, up to 0.05 in 98 cases of 100.

        Raises:
            ValueError: `q` does not lie between 0 and 1.

        Example:
            >>> summarize(torch.tensor([1.0, 1.0, 1.0, 100.0])).quantile(1.0)
            100.0
        """
        return quantile(self.histogram, q, zeros=self.zeros, low=self.low, high=self.high)

    @classmethod
    def unpack(cls, row: Sequence[float] | np.ndarray) -> Summary:
        """Read one row of `summarize_rows` that has reached the host."""
        numbers = np.asarray(row, dtype=np.float64)
        count, nan, inf, zeros = (int(value) for value in numbers[:4])
        mean, spread, low, high = (float(value) for value in numbers[4:8])
        if low > high:  # there is no finite element
            low = high = math.nan
        deviations = spread * spread * (count - nan - inf)
        return cls(count, nan, inf, zeros, mean, deviations, low, high, numbers[8 : 8 + BINS])


def summarize_rows(rows: torch.Tensor, sizes: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Describe every row of a matrix in a fixed number of calls, whatever the number of rows.

    Args:
        rows: float32 or float64 [rows, width]; a row shorter than the matrix is filled up with its first element, or with
            zeros, which then count for `low` and `high` alone.
        sizes: [rows], on the same device: how many elements of each row are not filling; at least 1.
        weights: float32 [rows, width], 1 up to the size of the row and 0 behind; computed from `sizes` if not given.

    Returns:
        [rows, len(FIELDS) + BINS] of the same dtype and device; read a row with `Summary.unpack`. Magnitudes below
        2^-126 count as zeros. On a device other than the CPU nothing waits for it.
    """
    described = describe_rows(rows, sizes, weights)
    return torch.cat([described[:, : len(FIELDS)], fold_patterns(described[:, len(FIELDS) :])], dim=1)


def describe_rows(rows: torch.Tensor, sizes: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The same as `summarize_rows` in fewer calls, with the counts of `count_patterns` in place of the histogram."""
    if weights is None:
        weights = (torch.arange(rows.shape[1], device=rows.device) < sizes[:, None]).to(torch.float32)
    low, high = rows.amin(1), rows.amax(1)
    largest = torch.maximum(high, -low)
    n = whole = sizes.to(rows.dtype)
    nan = inf = torch.zeros_like(low)
    if rows.device.type != "cpu" or not math.isfinite(largest.sum()):  # else there is no NaN and no Inf
        nan, infinite = (rows.isnan() * weights).sum(1), rows.isinf()
        inf = (infinite * weights).sum(1)
        finite = weights * ~(infinite | rows.isnan())
        low = torch.where(finite > 0, rows, math.inf).amin(1)
        high = torch.where(finite > 0, rows, -math.inf).amax(1)
        rows, weights, n = torch.where(finite > 0, rows, 0.0), finite, (n - nan - inf).clamp_(min=1)
        largest = rows.abs().amax(1)
    # Scaled by a power of two into (-2, 2), so that neither sums nor squares leave the range.
    integers, exponent, least = _BITS[rows.dtype]
    scale = (largest.view(integers) & exponent).view(rows.dtype).clamp_(min=least)
    scaled = (rows / scale[:, None]).mul_(weights)
    mean = scaled.sum(1).div_(n)
    spread = torch.linalg.vector_norm(scaled.sub_(mean[:, None]).mul_(weights), dim=1).div_(n.sqrt())
    held = rows if rows.dtype is torch.float32 else rows.clamp(-_LARGEST, _LARGEST).to(torch.float32)
    counts = count_patterns(held, weights)
    zeros = counts[:, ::256].sum(1)
    numbers = [whole, nan, inf, zeros, mean.mul_(scale), spread.mul_(scale), low, high]
    return torch.cat([torch.stack(numbers, dim=1), counts], dim=1)


def summarize(tensor: torch.Tensor, limit: int = 2**22) -> Summary:
    """Describe one tensor; waits for the device.

    Args:
        tensor: any shape, dtype and layout (see `real_values`); complex values are described by their magnitude, and the
            zeros that a sparse tensor does not store count like any other.
        limit: above this many elements, and above 2^24, a strided sample is described (see `strided_sample` for how far it may be off), and
            what is counted in it stands for all elements. A NaN or Inf is never missed: if the sample holds none while the
            tensor does, one is counted.

    Example:
        >>> summary = summarize(torch.tensor([0.0, 2.0, float("nan")]))
        >>> summary.mean, summary.spread, summary.zeros, summary.nan
        (1.0, 1.0, 1, 1)
    """
    values, more_zeros = stored_values(tensor)
    found = _summarize_stored(values, min(limit, MOST_COUNTED))
    return merge(found, _zeros(more_zeros)) if more_zeros else found


def _summarize_stored(values: torch.Tensor, limit: int) -> Summary:
    row = strided_sample(values, limit).to(accumulation_type(values))[None]
    if row.shape[1] == 0:
        return EMPTY
    found = Summary.unpack(summarize_rows(row, torch.tensor([row.shape[1]], device=row.device))[0].cpu().numpy())
    if row.shape[1] == values.numel():
        return found
    found = _stretched(found, values.numel())
    if not is_finite(values):
        nan = int(found.nan == 0 and bool(values.isnan().any()))
        inf = int(found.inf == 0 and bool(values.isinf().any()))
        given = int(
            found.finite < nan + inf
        )  # all of the sample is the one of the two, so that this gives way to the other
        found = replace(found, nan=found.nan + nan - given * inf, inf=found.inf + inf - given * nan)
    return found


def _stretched(sample: Summary, size: int) -> Summary:
    """The description of a sample as that of all elements, so that it has their weight where it is merged."""
    factor = size / sample.count
    nan, inf, zeros = (round(factor * number) for number in (sample.nan, sample.inf, sample.zeros))
    share = (size - nan - inf) / sample.finite if sample.finite else 1.0
    return replace(
        sample,
        count=size,
        nan=nan,
        inf=inf,
        zeros=zeros,
        deviations=share * sample.deviations,
        histogram=share * sample.histogram,
    )


def merge(a: Summary, b: Summary) -> Summary:
    """The description of both tensors taken together, as if they had been one.

    Mean and deviations follow Chan, Golub and LeVeque (1979), which is stable where sums of squares cancel.
    """
    n = a.finite + b.finite
    half = b.mean / 2 - a.mean / 2  # all of the distance may leave the range
    of_a, of_b = (half * (part.finite / n) if n else 0.0 for part in (a, b))
    return Summary(
        count=a.count + b.count,
        nan=a.nan + b.nan,
        inf=a.inf + b.inf,
        zeros=a.zeros + b.zeros,
        mean=a.mean + of_b + of_b if n else 0.0,
        deviations=a.deviations + b.deviations + of_a * of_b * 4 * n,
        low=float(np.fmin(a.low, b.low)),
        high=float(np.fmax(a.high, b.high)),
        histogram=a.histogram + b.histogram,
    )


def _zeros(count: int) -> Summary:
    histogram = np.zeros(BINS)
    histogram[BINS // 2] = count
    return Summary(count, 0, 0, count, 0.0, 0.0, 0.0, 0.0, histogram)


EMPTY = Summary(0, 0, 0, 0, 0.0, 0.0, math.nan, math.nan, np.zeros(BINS))
"""The description of no elements; `merge(EMPTY, a) == a`."""
