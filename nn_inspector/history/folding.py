"""Moves values from the tail of a run file into chunks, level by level."""

from __future__ import annotations

import sqlite3

import numpy as np

from nn_inspector.history.blobs import Tail, pack_chunk, unpack_chunk, unpack_tail
from nn_inspector.history.levels import FACTOR, chunk_size
from nn_inspector.history.series import Series


def fold_tail(connection: sqlite3.Connection) -> None:
    """Empty the tail into the chunks of its series. Runs within a transaction of the caller."""
    widths = [width for (width,) in connection.execute("SELECT DISTINCT width FROM tail").fetchall()]
    for width in widths:
        rows = connection.execute("SELECT data, count FROM tail WHERE width = ? ORDER BY id", (width,))
        for series, points in by_series([unpack_tail(data, count, width) for data, count in rows]).items():
            _append(connection, series, width, points)
    connection.execute("DELETE FROM tail")


def by_series(tails: list[Tail]) -> dict[int, Series]:
    """The values of each series, in their order."""
    if not tails:
        return {}
    series = np.concatenate([tail.series for tail in tails])
    order = np.argsort(series, kind="stable")
    steps = np.concatenate([tail.steps for tail in tails])[order]
    values = np.concatenate([tail.values for tail in tails])[order]
    numbers, starts = np.unique(series[order], return_index=True)
    stops = [*starts[1:].tolist(), len(order)]
    return {
        number: Series.exact(steps[start:stop], values[start:stop])
        for number, start, stop in zip(numbers.tolist(), starts.tolist(), stops, strict=True)
    }


def _append(connection: sqlite3.Connection, series: int, width: int, points: Series) -> None:
    (folded,) = connection.execute("SELECT folded FROM series WHERE id = ?", (series,)).fetchone()
    connection.execute("UPDATE series SET folded = ? WHERE id = ?", (folded + len(points), series))
    chunk, level, present = chunk_size(width), 0, folded
    while len(points):
        full = _append_level(connection, series, width, level, present, points)
        present = present // chunk * chunk // FACTOR
        points, level = full.merged(FACTOR) if len(full) else full, level + 1


def _append_level(
    connection: sqlite3.Connection, series: int, width: int, level: int, present: int, points: Series
) -> Series:
    """Add to the open chunk of a level that holds `present` points; return what is in chunks that became full."""
    chunk = chunk_size(width)
    number, open_count = divmod(present, chunk)
    if open_count:
        first_step, size, data = connection.execute(
            "SELECT first_step, size, data FROM chunk WHERE series = ? AND level = ? AND number = ?",
            (series, level, number),
        ).fetchone()
        known = unpack_chunk(data, count=open_count, width=width, level=level, size=size, first_step=first_step)
        points = Series.join([known, points])
    for start in range(0, len(points), chunk):
        part = points[start : start + chunk]
        data, size = pack_chunk(part, level)
        connection.execute(
            "INSERT INTO chunk (series, level, number, first_step, count, size, data) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (series, level, number) DO UPDATE SET count = excluded.count, size = excluded.size, "
            "data = excluded.data",
            (series, level, number + start // chunk, int(part.steps[0]), len(part), size, data),
        )
    return points[: len(points) // chunk * chunk]
