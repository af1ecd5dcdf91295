"""Series in memory, bounded however long the training: first and latest values exactly, what lies between in buckets."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nn_inspector.history.series import Series
from nn_inspector.probes import Measured, MeasurementTable

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

    Args:
        dimensions: so many first dimensions of each value are those of a table: each place of it is a series of its own.

    Attributes:
        anew: whether it has begun anew.
    """

    def __init__(self, dimensions: int = 0) -> None:
        self.anew = False
        self._dimensions = dimensions
        self._begin(())

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._share = VECTOR_SHARE if len(shape) > self._dimensions else 1
        self._head = _Points(shape)
        self._recent = _Points(shape)
        self._buckets = Series.join([])
        self._per_bucket = _FIRST_BUCKET

    def append(self, step: int, value: float | np.ndarray) -> None:
        """Add a value measured at `step`."""
        shape = getattr(value, "shape", ())
        if shape != self._shape:
            self.anew |= self._head.count > 0
            self._begin(shape)
        if self._head.count < HEAD // self._share:
            self._head.append(step, value)
            return
        self._recent.append(step, value)
        if self._recent.count >= (RECENT + RECENT // 4) // self._share:
            self._fold(self._recent.take(RECENT // 4 // self._share))

    def last(self, column: tuple[int, ...] = ()) -> tuple[int, np.ndarray] | None:
        """The latest step and value, or what stands at this place of it."""
        return self._recent.last(column) or self._head.last(column)

    def view(self, column: tuple[int, ...] = ()) -> Series:
        """The series as arrays, copied, or that at this place of the table."""
        parts = [self._head.view(), self._buckets, self._recent.view()]
        return Series.join([part.column(column) for part in parts if len(part)])

    def at(self, step: int, column: tuple[int, ...] = ()) -> np.ndarray | None:
        """The value at `step`, or the latest before it."""
        for part in (self._recent.view(), self._buckets, self._head.view()):
            index = int(np.searchsorted(part.steps, step, side="right")) - 1
            if index >= 0:
                return np.array(part.values[(index, *column)])
        return None

    def column(self, column: tuple[int, ...]) -> SeriesStore:
        """The series at this place of the table, to go on by itself."""
        one = SeriesStore()
        one._begin(self._shape[len(column) :])
        one._head, one._recent = self._head.column(column), self._recent.column(column)
        one._buckets = Series.join([part.column(column) for part in (self._buckets,) if len(part)])
        one._per_bucket = self._per_bucket
        return one

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

    def last(self, column: tuple[int, ...]) -> tuple[int, np.ndarray] | None:
        if not self.count:
            return None
        return int(self._steps[self.count - 1]), np.array(self._values[(self.count - 1, *column)])

    def view(self) -> Series:
        """What is there now; it changes with these points."""
        return Series.exact(self._steps[: self.count], self._values[: self.count])

    def column(self, column: tuple[int, ...]) -> _Points:
        points = _Points(())
        place: tuple[Any, ...] = (slice(None), *column)
        points.count, points._steps, points._values = self.count, self._steps.copy(), self._values[place].copy()
        return points

    def take(self, number: int) -> Series:
        """Remove the first values and return them."""
        series = Series.join([self.view()])
        self.count -= number
        self._steps[: self.count] = series.steps[number:]
        self._values[: self.count] = series.values[number:]
        return series[:number]


class _Place(NamedTuple):
    """Where a series is: a store, and where in its tables if it holds such."""

    store: SeriesStore
    column: tuple[int, ...] = ()


class MemoryTable:
    """The series of a run by quantity and source. One thread writes, any thread may read.

    Tables of the same quantities and sources are kept as they come, in one store. Where one of these series comes in
    another way as well (other layers take part in a step), all of them go on one by one.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], _Place] = {}
        self._tables: dict[tuple[tuple[str, ...], tuple[str, ...]], SeriesStore] = {}
        self._lock = threading.Lock()

    def record(self, measurements: Iterable[Measured]) -> None:
        """Add values."""
        with self._lock:
            for measured in measurements:
                if isinstance(measured, MeasurementTable):
                    self._add_table(measured)
                else:
                    self._add(measured.step, measured.quantity, measured.source, measured.value)

    def _add_table(self, table: MeasurementTable) -> None:
        layout = (table.quantities, table.sources)
        store = self._tables.get(layout) or self._begin_table(layout)
        if store is not None:
            store.append(table.step, table.values)
            return
        for step, quantity, source, value, _ in table.measurements():
            self._add(step, quantity, source, value)

    def _begin_table(self, layout: tuple[tuple[str, ...], tuple[str, ...]]) -> SeriesStore | None:
        """A new store of tables; None where some of these series are known, or come twice in a table."""
        keys = list(itertools.product(*layout))
        if not self._places.keys().isdisjoint(keys) or len(set(keys)) < len(keys):
            return None
        store = self._tables[layout] = SeriesStore(len(layout))
        for number, key in enumerate(keys):
            self._places[key] = _Place(store, divmod(number, len(layout[1])))
        return store

    def _add(self, step: int, quantity: str, source: str, value: float | np.ndarray) -> None:
        place = self._places.get((quantity, source))
        if place is None:
            place = self._places[quantity, source] = _Place(SeriesStore())
        elif place.column:
            self._take_apart(place.store)
            place = self._places[quantity, source]
        place.store.append(step, value)

    def _take_apart(self, table: SeriesStore) -> None:
        """The series of a table go on one by one."""
        for key, place in self._places.items():
            if place.store is table:
                self._places[key] = _Place(table.column(place.column))
        self._tables = {layout: store for layout, store in self._tables.items() if store is not table}

    def forked(self) -> None:
        """This is a child process now: the thread that held the lock, if any did, is not here to release it."""
        self._lock = threading.Lock()

    def names(self) -> list[tuple[str, str]]:
        """(quantity, source) in the order of their first values."""
        with self._lock:
            return list(self._places)

    def begun_anew(self) -> list[str]:
        """Which series lack what came before their values had another length, as "quantity of source"."""
        with self._lock:
            return [f"{quantity} of {source}" for (quantity, source), place in self._places.items() if place.store.anew]

    def series(self, quantity: str, source: str) -> Series:
        """One of them; empty if there is none."""
        with self._lock:
            place = self._places.get((quantity, source))
            return place.store.view(place.column) if place else Series.join([])

    def everything(self, quantity: str, source: str) -> Iterator[Series]:
        """All that is kept of one of them, in parts."""
        yield self.series(quantity, source)

    def last(self, quantity: str, source: str) -> np.ndarray | None:
        """The latest value."""
        with self._lock:
            place = self._places.get((quantity, source))
            point = place.store.last(place.column) if place else None
        return point[1] if point is not None else None

    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        """The values at a step, or the latest before it."""
        with self._lock:
            found = {key: place.store.at(step, place.column) for key, place in self._places.items()}
        return {key: value for key, value in found.items() if value is not None}
