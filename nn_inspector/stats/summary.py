"""The numbers that describe a tensor, for many tensors at once, and how two such descriptions merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nn_inspector.stats.magnitudes import BINS, magnitude_histogram
from nn_inspector.stats.sampling import strided_sample

FIELDS = ("count", "nan", "inf", "zeros", "mean", "spread", "low", "high")
"""What stands before the histogram in a row of `summarize_rows`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a tensor, or of several taken together.

    NaN and Inf are counted and take no part in the other numbers: they are a finding, not a value.

    Attributes:
        count: all elements looked at. nan, inf, zeros: how many of them are so.
        mean, deviations: mean of the finite elements, and the sum of their squared distances from it.
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
        return math.sqrt(self.deviations + self.finite * self.mean**2)

    @property
    def zero_share(self) -> float:
        """Share of exact zeros among all elements; NaN for an empty tensor."""
        return self.zeros / self.count if self.count else math.nan

    @classmethod
    def unpack(cls, row: Sequence[float] | np.ndarray) -> Summary:
        """Read one row of `summarize_rows` that has reached the host."""
        numbers = np.asarray(row, dtype=np.float64)
        count, nan, inf, zeros = (int(value) for value in numbers[:4])
        mean, spread, low, high = (float(value) for value in numbers[4:8])
        deviations = spread**2 * (count - nan - inf)
        return cls(count, nan, inf, zeros, mean, deviations, low, high, numbers[8 : 8 + BINS])


def summarize_rows(rows: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Describe every row of a matrix in a fixed number of calls, whatever the number of rows.

    Args:
        rows: float32 [rows, width]; a row shorter than the matrix is filled up with NaN.
        sizes: int64 [rows], on the same device: how many elements of each row are not filling.

    Returns:
        float32 [rows, len(FIELDS) + BINS], on the same device; read a row with `Summary.unpack`.
    """
    nan = rows.isnan().sum(1) - (rows.shape[1] - sizes)
    inf = rows.isinf().sum(1)
    n = (sizes - nan - inf).clamp(min=1)
    low = rows.nan_to_num(math.inf, math.inf, math.inf).amin(1)
    high = rows.nan_to_num(-math.inf, -math.inf, -math.inf).amax(1)
    # Scaled by a power of two into [-4, 4], so that neither sums nor squares leave the range of float32.
    scale = torch.maximum(low.abs(), high.abs()).log2().floor().nan_to_num(0.0, 0.0, 0.0).clamp(-126, 126).exp2()
    scaled = rows / scale[:, None]
    mean = scaled.nan_to_num(0.0, 0.0, 0.0).sum(1) / n
    variance = (scaled - mean[:, None]).nan_to_num(0.0, 0.0, 0.0).square_().sum(1) / n
    columns = (sizes, nan, inf, (rows == 0).sum(1), mean * scale, variance.sqrt() * scale, low, high)
    numbers = torch.stack([column.to(torch.float32) for column in columns], dim=1)
    numbers[:, 6:8].masked_fill_(low[:, None] > high[:, None], math.nan)
    return torch.cat([numbers, magnitude_histogram(rows)], dim=1)


def summarize(tensor: torch.Tensor, limit: int = 2**22) -> Summary:
    """Describe one tensor; waits for the device.

    Args:
        tensor: any shape, dtype and layout; complex values are described by their magnitude.
        limit: above this many elements a strided sample is described.

    Example:
        >>> summary = summarize(torch.tensor([0.0, 2.0, float("nan")]))
        >>> summary.mean, summary.spread, summary.zeros, summary.nan
        (1.0, 1.0, 1, 1)
    """
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.is_complex():
        tensor = tensor.abs()
    row = strided_sample(tensor, limit).to(torch.float32)[None]
    if row.shape[1] == 0:
        return EMPTY
    return Summary.unpack(summarize_rows(row, torch.tensor([row.shape[1]], device=row.device))[0].cpu().numpy())


def merge(a: Summary, b: Summary) -> Summary:
    """The description of both tensors taken together, as if they had been one.

    Mean and deviations follow Chan, Golub and LeVeque (1979), which is stable where sums of squares cancel.
    """
    n = a.finite + b.finite
    delta = b.mean - a.mean
    return Summary(
        count=a.count + b.count,
        nan=a.nan + b.nan,
        inf=a.inf + b.inf,
        zeros=a.zeros + b.zeros,
        mean=a.mean + delta * b.finite / n if n else 0.0,
        deviations=a.deviations + b.deviations + (delta**2 * a.finite * b.finite / n if n else 0.0),
        low=float(np.fmin(a.low, b.low)),
        high=float(np.fmax(a.high, b.high)),
        histogram=a.histogram + b.histogram,
    )


EMPTY = Summary(0, 0, 0, 0, 0.0, 0.0, math.nan, math.nan, np.zeros(BINS))
"""The description of no elements; `merge(EMPTY, a) == a`."""
