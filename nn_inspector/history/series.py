"""One quantity over time: values, or buckets that stand for many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Series:
    """A view of one quantity of one source.

    Attributes:
        steps: int64 [points], ascending; of a bucket its last step.
        values: float64 [points] or [points, width]; of a bucket the mean.
        low, high: float64 like `values`: least and greatest value in a bucket, the value itself elsewhere. NaN is passed
            over unless there is nothing else.
        counts: int64 [points]: how many values stand behind each point.
    """

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray

    @classmethod
    def exact(cls, steps: np.ndarray, values: np.ndarray) -> Series:
        """Values that each stand for themselves.

        Example:
            >>> Series.exact(np.array([0, 1]), np.array([2.0, 4.0])).mean
            3.0
        """
        return cls(steps, values, values, values, np.ones(len(steps), dtype=np.int64))

    @classmethod
    def join(cls, parts: list[Series]) -> Series:
        """One after the other; no parts are an empty series."""
        if not parts:
            return cls.exact(np.zeros(0, dtype=np.int64), np.zeros(0))
        values = np.concatenate([part.values for part in parts])
        if all(part.low is part.values for part in parts):
            return cls.exact(np.concatenate([part.steps for part in parts]), values)
        return cls(
            steps=np.concatenate([part.steps for part in parts]),
            values=values,
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
            counts=np.concatenate([part.counts for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, points: slice | np.ndarray) -> Series:
        return Series(*(part[points] for part in (self.steps, self.values, self.low, self.high, self.counts)))

    def column(self, column: tuple[int, ...]) -> Series:
        """Of points that are tables or vectors, one place; all of it for ()."""
        place: tuple[Any, ...] = (slice(None), *column)
        if self.low is self.values:
            return Series.exact(self.steps, self.values[place])
        return Series(self.steps, self.values[place], self.low[place], self.high[place], self.counts)

    @property
    def total(self) -> int:
        """How many values were ever added."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of all scalar values that were ever added; NaN if there are none."""
        return float(np.average(self.values, weights=self.counts)) if len(self) else float("nan")

    def merged(self, size: int) -> Series:
        """Each `size` neighbours as one bucket; the last one may have fewer.

        Example:
            >>> merged = Series.exact(np.arange(5), np.array([1.0, 3.0, 5.0, 5.0, 2.0])).merged(2)
            >>> merged.values, merged.high, merged.steps
            (array([2., 5., 2.]), array([3., 5., 2.]), array([1, 3, 4]))
        """
        even = len(self) - len(self) % size
        if 0 < even < len(self):
            return Series.join([self[:even].merged(size), self[even:].merged(size)])
        groups = (-1, min(size, len(self)))
        counts = self.counts.reshape(groups)
        values, low, high = (part.reshape(*groups, *part.shape[1:]) for part in (self.values, self.low, self.high))
        weights = counts.reshape(counts.shape + (1,) * (values.ndim - 2)).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            means = (values * (weights / weights.sum(axis=1, keepdims=True))).sum(axis=1)
        return Series(
            steps=self.steps.reshape(groups)[:, -1],
            values=means,
            low=np.fmin.reduce(low, axis=1),
            high=np.fmax.reduce(high, axis=1),
            counts=counts.sum(axis=1),
        )
