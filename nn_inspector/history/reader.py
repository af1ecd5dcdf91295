"""Answers questions about a run from its file, reading a bounded part of it however long the run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nn_inspector.history import facts_json
from nn_inspector.history.blobs import MOST_BYTES, WIDEST, BlobError, unpack_chunk
from nn_inspector.history.connection import ReadConnection
from nn_inspector.history.facts import Facts
from nn_inspector.history.levels import FACTOR, Share, chunk_size, plan
from nn_inspector.history.series import Series
from nn_inspector.history.tail import TailCache
from nn_inspector.probes import Epoch

_LONGEST_NAME = 1 << 16
_MOST_EPOCHS = 10_000
_CHUNK_COLUMNS = f"count, first_step, size, CASE WHEN length(data) <= {MOST_BYTES} THEN data END"


class RunReader:
    """Reads a run file; see `SeriesTable` and `ReadConnection`.

    It may be asked by several threads.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = ReadConnection(path)
        self._index: dict[tuple[str, str], tuple[int, int]] = {}
        self._tail = TailCache()
        self._facts = Facts(path.stem, {})
        self._epochs: dict[tuple[str, int], Epoch] = {}
        self._changed = -1

    def close(self) -> None:
        """Let go of the file until the next question."""
        self._file.close()

    def facts(self) -> Facts:
        """What the file says now; what did not change since the last look is not read again."""
        with self._file.reading() as connection:
            (latest,) = connection.execute("SELECT max(changed) FROM meta").fetchone()
            if latest is None or latest == self._changed:
                return self._facts
            for key, text in connection.execute(
                f"SELECT key, CASE WHEN length(value) <= {facts_json.LONGEST} THEN value END FROM meta WHERE changed > ?",  # noqa: S608 - our own number
                (self._changed,),
            ):
                facts_json.set_fact(self._facts, key, facts_json.from_text(text))
            self._read_epochs(connection)
            self._changed = latest
            return self._facts

    def names(self) -> list[tuple[str, str]]:
        """(quantity, source) in the order of their first values."""
        with self._file.reading() as connection:
            self._read_index(connection)
        return list(self._index)

    def series(self, quantity: str, source: str) -> Series:
        """All of one of them: exact at both ends, in ever larger buckets towards the middle."""
        with self._file.reading() as connection:
            number, width, tail = self._look_up(connection, quantity, source)
            if not number:
                return Series.join([])
            shares = plan(self._folded(connection, number), chunk_size(width))
            parts = [self._read_share(connection, number, width, share) for share in shares]
        return Series.join([*parts, *tail])

    def everything(self, quantity: str, source: str) -> Iterator[Series]:
        """Each value that was recorded, in parts, as the file stands now."""
        with self._file.reading() as connection:
            number, width, tail = self._look_up(connection, quantity, source)
            folded = self._folded(connection, number) if number else 0
        size = 16 * chunk_size(width)
        for start in range(0, folded, size):
            with self._file.reading() as connection:
                part = self._read_share(connection, number, width, Share(0, start, min(folded, start + size)))
            yield part
        yield from tail

    def last(self, quantity: str, source: str) -> np.ndarray | None:
        """The latest value."""
        with self._file.reading() as connection:
            number, width, tail = self._look_up(connection, quantity, source)
            if not number:
                return None
            if not tail:
                folded = self._folded(connection, number)
                tail = [self._read_share(connection, number, width, Share(0, folded - 1, folded))] if folded else []
        return np.array(tail[-1].values[-1]) if tail else None

    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        """The exact values at a step, or the latest before it."""
        found = {}
        with self._file.reading() as connection:
            self._read_index(connection)
            self._tail.update(connection, dict(self._index.values()))
            for key, (number, width) in self._index.items():
                value = _at(self._tail.of(number), step)
                if value is None:
                    value = _at(self._chunk_at(connection, number, width, step), step)
                if value is not None:
                    found[key] = value
        return found

    def _look_up(self, connection: sqlite3.Connection, quantity: str, source: str) -> tuple[int, int, list[Series]]:
        """Number and width of a series, and its part of the tail; number 0 if there is none."""
        self._read_index(connection)
        self._tail.update(connection, dict(self._index.values()))
        number, width = self._index.get((quantity, source), (0, 0))
        return number, width, self._tail.of(number)

    def _read_index(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            f"SELECT id, width, CASE WHEN length(quantity) <= {_LONGEST_NAME} THEN quantity END, "  # noqa: S608 - our own number
            f"CASE WHEN length(source) <= {_LONGEST_NAME} THEN source END FROM series WHERE id > ? ORDER BY id",
            (len(self._index),),
        )
        for number, width, quantity, source in rows:
            sound = number == len(self._index) + 1 and isinstance(width, int) and 0 <= width <= WIDEST
            if not sound or not isinstance(quantity, str) or not isinstance(source, str):
                raise BlobError(f"a series that is not numbered, named or sized as series are (number {number})")
            self._index[quantity, source] = (number, width)

    def _read_epochs(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            f"SELECT CASE WHEN length(value) <= {facts_json.LONGEST} THEN value END FROM epoch "  # noqa: S608 - our own number
            "WHERE changed > ? ORDER BY loader, number LIMIT ?",
            (self._changed, _MOST_EPOCHS),
        ).fetchall()
        for (text,) in rows:
            epoch = facts_json.epoch_from(facts_json.from_text(text))
            self._epochs[epoch.loader, epoch.number] = epoch
        if rows:
            self._facts.set_epochs(epoch for _, epoch in sorted(self._epochs.items()))
            kept = [epoch for loader in self._facts.loaders() for epoch in self._facts.epochs(loader)]
            self._epochs = {(epoch.loader, epoch.number): epoch for epoch in kept}

    def _folded(self, connection: sqlite3.Connection, number: int) -> int:
        (folded,) = connection.execute("SELECT folded FROM series WHERE id = ?", (number,)).fetchone()
        if not isinstance(folded, int) or not 0 <= folded < 1 << 50:
            raise BlobError(f"a series of {folded!r} values")
        return folded

    def _read_share(self, connection: sqlite3.Connection, number: int, width: int, share: Share) -> Series:
        chunk = chunk_size(width)
        start, stop = share.start // FACTOR**share.level, share.stop // FACTOR**share.level
        rows = connection.execute(
            f"SELECT {_CHUNK_COLUMNS} FROM chunk WHERE series = ? AND level = ? AND number BETWEEN ? AND ? "  # noqa: S608 - our own text
            "ORDER BY number",
            (number, share.level, start // chunk, (stop - 1) // chunk),
        )
        first = start // chunk * chunk
        found = Series.join([_unpack(row, width, share.level) for row in rows])[start - first : stop - first]
        if len(found) != stop - start:
            raise BlobError(f"{len(found)} values or buckets where there should be {stop - start}")
        return found

    def _chunk_at(self, connection: sqlite3.Connection, number: int, width: int, step: int) -> list[Series]:
        rows = connection.execute(
            f"SELECT {_CHUNK_COLUMNS} FROM chunk WHERE series = ? AND level = 0 AND first_step <= ? "  # noqa: S608 - our own text
            "ORDER BY first_step DESC, number DESC LIMIT 1",
            (number, step),
        )
        return [_unpack(row, width, 0) for row in rows]


def _unpack(row: tuple[Any, ...], width: int, level: int) -> Series:
    count, first_step, size, data = row
    if not all(isinstance(value, int) for value in (count, first_step, size)) or not isinstance(data, bytes):
        raise BlobError("a chunk whose numbers and bytes are of other types")
    return unpack_chunk(data, count=count, width=width, level=level, size=size, first_step=first_step)


def _at(parts: list[Series], step: int) -> np.ndarray | None:
    for part in reversed(parts):
        index = int(np.searchsorted(part.steps, step, side="right")) - 1
        if index >= 0:
            return np.array(part.values[index])
    return None
