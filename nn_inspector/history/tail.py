"""The newest values of all series, read from a run file once and then kept up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from nn_inspector.history.blobs import MOST_BYTES, BlobError, unpack_tail
from nn_inspector.history.folding import by_series
from nn_inspector.history.series import Series

_MOST_ROWS = 10_000


class TailCache:
    """What the table `tail` holds. Rows are only added, until all are folded away at once."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Series]] = {}
        self._first: int | None = None
        self._last = -1

    def update(self, connection: sqlite3.Connection, widths: Mapping[int, int]) -> None:
        """Read what is new, within a transaction.

        Args:
            connection: to the file.
            widths: number of each series -> its width.

        Raises:
            BlobError: a row is not what a tail holds.
        """
        first, size, rows = connection.execute("SELECT min(id), sum(length(data)), count(*) FROM tail").fetchone()
        if rows > _MOST_ROWS or (size or 0) > MOST_BYTES:
            raise BlobError(f"a tail of {rows} rows and {size} bytes")
        if first != self._first:
            self._parts, self._first, self._last = {}, first, -1
        query = "SELECT id, width, count, data FROM tail WHERE id > ? ORDER BY id"
        for number, width, count, data in connection.execute(query, (self._last,)):
            if not isinstance(width, int) or not isinstance(count, int) or not isinstance(data, bytes):
                raise BlobError("a row of the tail whose numbers and bytes are of other types")
            for series, points in by_series([unpack_tail(data, count, width)]).items():
                if widths.get(series) != width:
                    raise BlobError(f"values of width {width} for series {series}")
                self._parts.setdefault(series, []).append(points)
            self._last = number

    def of(self, series: int) -> list[Series]:
        """What it holds of one series: no parts, or one."""
        parts = self._parts.get(series, [])
        if len(parts) > 1:
            parts[:] = [Series.join(parts)]
        return list(parts)
