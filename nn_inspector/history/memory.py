"""Series in memory, bounded however long the training: first and latest values exactly, what lies between in buckets."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np

from nn_inspector.history.series import Series
from nn_inspector.probes import Measurement

HEAD = 128
"""So many first values are kept exactly, for good: the start of a training says most about it."""

RECENT = 1024
"""At least so many latest values are kept exactly."""

BUCKETS = 512
"""At most so many buckets stand for all values between; when they are full, neighbours are merged in pairs."""

VECTOR_SHARE = 16
"""Of vectors, which are a hundred times as large, one in so many of HEAD, RECENT and BUCKETS are kept."""

_FIRST_BUCKET = 8


class SeriesStore:
    """Takes values in the order of their steps and forgets detail, never extremes.

    A value of NaN or Inf makes its bucket's mean NaN or Inf: what was not finite stays visible. Where vectors come with
    another length (a layer was replaced by a wider one), the series begins anew.
    """

    def __init__(self) -> None:
        self._begin(())

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._share = VECTOR_SHARE if shape else 1
        self._head = _Points(shape)
        self._recent = _Points(shape)
        self._buckets = Series.join([])
        self._per_bucket = _FIRST_BUCKET

    def append(self, step: int, value: float | np.ndarray) -> None:
        """Add a value measured at `step`."""
        shape = getattr(value, "shape", ())
        if shape != self._shape:
            self._begin(shape)
        if self._head.count < HEAD // self._share:
            self._head.append(step, value)
            return
        self._recent.append(step, value)
        if self._recent.count >= (RECENT + RECENT // 4) // self._share:
            self._fold(self._recent.take(RECENT // 4 // self._share))

    def last(self) -> tuple[int, np.ndarray] | None:
        """The latest step and value."""
        return self._recent.last() or self._head.last()

    def view(self) -> Series:
        """The series as arrays, copied."""
        parts = [self._head.view(), self._buckets, self._recent.view()]
        return Series.join([part for part in parts if len(part)])

    def at(self, step: int) -> np.ndarray | None:
        """The value at `step`, or the latest before it."""
        for part in (self._recent.view(), self._buckets, self._head.view()):
            index = int(np.searchsorted(part.steps, step, side="right")) - 1
            if index >= 0:
                return np.array(part.values[index])
        return None

    def _fold(self, old: Series) -> None:
        added = old.merged(self._per_bucket)
        self._buckets = Series.join([self._buckets, added]) if len(self._buckets) else added
        if len(self._buckets) > BUCKETS // self._share:
            self._buckets = self._buckets.merged(2)
            self._per_bucket *= 2


class _Points:
    """Exact values in arrays that grow as they are needed."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0
        self._steps = np.zeros(8, dtype=np.int64)
        self._values = np.zeros((8, *shape))

    def append(self, step: int, value: float | np.ndarray) -> None:
        if self.count == len(self._steps):
            self._steps = np.concatenate([self._steps, np.zeros_like(self._steps)])
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self._steps[self.count] = step
        self._values[self.count] = value
        self.count += 1

    def last(self) -> tuple[int, np.ndarray] | None:
        if not self.count:
            return None
        return int(self._steps[self.count - 1]), np.array(self._values[self.count - 1])

    def view(self) -> Series:
        return Series.exact(self._steps[: self.count].copy(), self._values[: self.count].copy())

    def take(self, number: int) -> Series:
        """Remove the first values and return them."""
        series = self.view()
        self.count -= number
        self._steps[: self.count] = series.steps[number:]
        self._values[: self.count] = series.values[number:]
        return series[:number]


class MemoryTable:
    """The series of a run by quantity and source. One thread writes, any thread may read."""

    def __init__(self) -> None:
        self._stores: dict[tuple[str, str], SeriesStore] = {}
        self._lock = threading.Lock()

    def record(self, measurements: Iterable[Measurement]) -> None:
        """Add values."""
        with self._lock:
            for step, quantity, source, value, _ in measurements:
                store = self._stores.get((quantity, source))
                if store is None:
                    store = self._stores[quantity, source] = SeriesStore()
                store.append(step, value)

    def forked(self) -> None:
        """This is a child process now: the thread that held the lock, if any did, is not here to release it."""
        self._lock = threading.Lock()

    def names(self) -> list[tuple[str, str]]:
        """(quantity, source) in the order of their first values."""
        with self._lock:
            return list(self._stores)

    def series(self, quantity: str, source: str) -> Series:
        """One of them; empty if there is none."""
        with self._lock:
            store = self._stores.get((quantity, source))
            return store.view() if store else Series.join([])

    def everything(self, quantity: str, source: str) -> Iterator[Series]:
        """All that is kept of one of them, in parts."""
        yield self.series(quantity, source)

    def last(self, quantity: str, source: str) -> np.ndarray | None:
        """The latest value."""
        with self._lock:
            store = self._stores.get((quantity, source))
            point = store.last() if store else None
        return point[1] if point is not None else None

    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        """The values at a step, or the latest before it."""
        with self._lock:
            found = {key: store.at(step) for key, store in self._stores.items()}
        return {key: value for key, value in found.items() if value is not None}
