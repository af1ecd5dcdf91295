"""Measurements on their way to the writer's thread."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable

import numpy as np

from nn_inspector.history.blobs import WIDEST, Tail
from nn_inspector.probes import Measured, one_by_one

MOST_WAITING = 1 << 19
"""So many numbers may wait for a slow disk; measurements that come then are left out of the file."""


class Staging:
    """Packs measurements as they come, in the training's thread, and hands them over in one piece.

    Thousands of Python objects that wait for half a second would have the garbage collector walk over everything the
    process holds, which takes longer than packing them: three appends to plain arrays a number.

    Attributes:
        series: (quantity, source, width) of series 1, 2, 3, ...
        waiting: how many numbers wait.
        lost: how many measurements were left out because too many waited.
        left_out: what cannot be kept in a file, as "quantity of source".
    """

    def __init__(self) -> None:
        self.series: list[tuple[str, str, int]] = []
        self.waiting = 0
        self.lost = 0
        self.left_out: set[str] = set()
        self._index: dict[tuple[str, str], tuple[int, int]] = {}
        self._columns: dict[int, _Columns] = {}
        self._lock = threading.Lock()

    def put(self, measurements: Iterable[Measured]) -> None:
        """Add measurements in their order."""
        with self._lock:
            for measured in one_by_one(measurements):
                key, value = (measured.quantity, measured.source), measured.value
                width = value.size if isinstance(value, np.ndarray) and value.ndim else 0
                number, known_width = self._index.get(key) or self._add_series(key, width)
                if width != known_width or width > WIDEST:
                    self.left_out.add(f"{measured.quantity} of {measured.source}")
                    continue
                if self.waiting > MOST_WAITING:
                    self.lost += 1
                    continue
                columns = self._columns.get(width) or self._columns.setdefault(width, _Columns())
                columns.series.append(number)
                columns.steps.append(measured.step)
                if width:
                    columns.values.frombytes(np.asarray(value, dtype=np.float64).tobytes())
                else:
                    columns.values.append(float(value))
                self.waiting += width or 1

    def take(self) -> dict[int, Tail]:
        """All that waits, by width; nothing waits then."""
        with self._lock:
            columns, self._columns = self._columns, {}
            self.waiting = 0
        return {width: some.packed(width) for width, some in columns.items()}

    def _add_series(self, key: tuple[str, str], width: int) -> tuple[int, int]:
        if width <= WIDEST:
            self.series.append((*key, width))
            self._index[key] = (len(self.series), width)
        return len(self.series), width


class _Columns:
    """Values of one width."""

    def __init__(self) -> None:
        self.series = array("i")
        self.steps = array("q")
        self.values = array("d")

    def packed(self, width: int) -> Tail:
        values = np.frombuffer(self.values, dtype=np.float64).reshape((-1, width) if width else -1)
        return Tail(np.frombuffer(self.series, dtype=np.int32), np.frombuffer(self.steps, dtype=np.int64), values)
