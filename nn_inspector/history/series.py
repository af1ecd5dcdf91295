"""One quantity over time, in bounded memory: first and latest steps exactly, what lies between in buckets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HEAD = 128
"""So many first values are kept exactly, for good: the start of a training says most about it."""

RECENT = 1024
"""At least so many latest values are kept exactly."""

BUCKETS = 512
"""At most so many buckets stand for all values between; when they are full, neighbours are merged in pairs."""

_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Series:
    """A view of one quantity of one source.

    Attributes:
        steps: int64 [points], ascending; of a bucket its last step.
        values: float64 [points] or [points, width]; of a bucket the mean.
        low, high: float64 like `values`: least and greatest value in a bucket, the value itself elsewhere.
        counts: int64 [points]: how many values stand behind each point.
    """

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def total(self) -> int:
        """How many values were ever added."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of all scalar values that were ever added; NaN if there are none."""
        return float(np.average(self.values, weights=self.counts)) if len(self) else float("nan")


class SeriesStore:
    """Takes values in the order of their steps and forgets detail, never extremes.

    A value of NaN or Inf makes its bucket's mean NaN or Inf: what was not finite stays visible.
    """

    def __init__(self) -> None:
        self._head: list[tuple[int, np.ndarray]] = []
        self._recent: list[tuple[int, np.ndarray]] = []
        self._steps: list[int] = []
        self._counts: list[int] = []
        self._means: list[np.ndarray] = []
        self._lows: list[np.ndarray] = []
        self._highs: list[np.ndarray] = []
        self._per_bucket = 8

    def append(self, step: int, value: float | np.ndarray) -> None:
        """Add a value measured at `step`."""
        point = (step, np.asarray(value, dtype=np.float64))
        if len(self._head) < HEAD:
            self._head.append(point)
            return
        self._recent.append(point)
        if len(self._recent) >= RECENT + _CHUNK:
            old, self._recent = self._recent[:_CHUNK], self._recent[_CHUNK:]
            width = self._per_bucket  # may double while these are added
            for start in range(0, len(old), width):
                self._add_bucket(old[start : start + width])

    def last(self) -> tuple[int, np.ndarray] | None:
        """The latest step and value."""
        return self._recent[-1] if self._recent else self._head[-1] if self._head else None

    def view(self) -> Series:
        """The series as arrays, copied."""
        exact = [value for _, value in self._recent]
        head = [value for _, value in self._head]
        steps = [step for step, _ in self._head] + self._steps + [step for step, _ in self._recent]
        return Series(
            steps=np.array(steps, dtype=np.int64),
            values=np.array(head + self._means + exact, dtype=np.float64),
            low=np.array(head + self._lows + exact, dtype=np.float64),
            high=np.array(head + self._highs + exact, dtype=np.float64),
            counts=np.array([1] * len(head) + self._counts + [1] * len(exact), dtype=np.int64),
        )

    def at(self, step: int) -> np.ndarray | None:
        """The value at `step`, or the latest before it."""
        buckets = list(zip(self._steps, self._means, strict=True))
        points: list[tuple[int, np.ndarray]] = [*self._head, *buckets, *self._recent]
        return next((value for known, value in reversed(points) if known <= step), None)

    def _add_bucket(self, points: list[tuple[int, np.ndarray]]) -> None:
        values = np.stack([value for _, value in points])
        self._steps.append(points[-1][0])
        self._counts.append(len(points))
        self._means.append(values.mean(axis=0))
        self._lows.append(values.min(axis=0))
        self._highs.append(values.max(axis=0))
        if len(self._steps) > BUCKETS:
            self._merge_pairs()

    def _merge_pairs(self) -> None:
        even = len(self._steps) - len(self._steps) % 2
        counts = np.array(self._counts[:even], dtype=np.float64).reshape(-1, 2)
        means = np.stack(self._means[:even])
        weights = counts.reshape(counts.shape + (1,) * (means.ndim - 1))
        paired = means.reshape(-1, 2, *means.shape[1:])
        rest = slice(even, None)
        self._means = [*((paired * weights).sum(axis=1) / weights.sum(axis=1)), *self._means[rest]]
        self._lows = [*np.minimum(self._lows[0:even:2], self._lows[1:even:2]), *self._lows[rest]]
        self._highs = [*np.maximum(self._highs[0:even:2], self._highs[1:even:2]), *self._highs[rest]]
        self._steps = self._steps[1:even:2] + self._steps[rest]
        self._counts = [int(total) for total in counts.sum(axis=1)] + self._counts[rest]
        self._per_bucket *= 2
