"""What goes into a run file, one transaction at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from nn_inspector.history import facts_json
from nn_inspector.history.blobs import Tail, pack_tail
from nn_inspector.history.facts import FIRST_EPOCHS, LATE_EPOCHS, Facts
from nn_inspector.history.folding import fold_tail
from nn_inspector.history.metadata import count_cells, notebook_cells
from nn_inspector.history.staging import Staging
from nn_inspector.probes import Epoch

TAIL_VALUES = 2048
TAIL_VALUES_PER_SERIES = 32
TAIL_BYTES = 1 << 22
TAIL_ROWS = 256
"""A tail with more is folded into chunks. A reader reads all of it, so these bound what opening a run costs; a chunk is
written anew each time, so that a fold must bring enough for each series."""

_NOTHING: object = object()


class Entries:
    """Knows what a file holds already, and adds what is new.

    Attributes:
        empty: whether there is nothing worth keeping in the file.
    """

    def __init__(self, facts: Facts, staging: Staging) -> None:
        self.empty = True
        self._facts = facts
        self._staging = staging
        self._series = 0
        self._written: dict[str, object] = {}
        self._epochs: dict[tuple[str, int], tuple[int, int, bool]] = {}
        self._cells = -1
        self._changed = 0
        self._rows = 0
        self._tail_rows = 0
        self._tail_values = 0
        self._tail_bytes = 0

    def write(self, connection: sqlite3.Connection) -> bool:
        """Bring the file up to date in one transaction.

        Returns:
            Whether there was anything to write.

        Raises:
            sqlite3.Error: it could not be written; the file is as it was before.
        """
        facts, epochs, tails = self._new_facts(), self._new_epochs(), self._staging.take()
        if not facts and not epochs and not tails:
            return False
        self._changed += 1
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write_facts(connection, facts, epochs)
            new = self._staging.series[self._series :]
            connection.executemany(
                "INSERT INTO series VALUES (?, ?, ?, ?, 0)",
                [(number, *series) for number, series in enumerate(new, self._series + 1)],
            )
            self._series += len(new)
            for width, tail in tails.items():
                self._write_tail(connection, width, tail)
            if self._tail_is_full():
                fold_tail(connection)
                self._tail_rows = self._tail_values = self._tail_bytes = 0
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.empty &= not (tails or epochs or self._facts.steps or self._facts.findings)
        return True

    def _tail_is_full(self) -> bool:
        enough = TAIL_VALUES + TAIL_VALUES_PER_SERIES * self._series
        return self._tail_values > enough or self._tail_bytes > TAIL_BYTES or self._tail_rows > TAIL_ROWS

    def _write_tail(self, connection: sqlite3.Connection, width: int, tail: Tail) -> None:
        data = pack_tail(tail)
        self._rows += 1
        self._tail_rows += 1
        self._tail_values += len(tail.steps)
        self._tail_bytes += len(data)
        connection.execute("INSERT INTO tail VALUES (?, ?, ?, ?)", (self._rows, width, len(tail.steps), data))

    def _write_facts(self, connection: sqlite3.Connection, facts: dict[str, Any], epochs: list[Epoch]) -> None:
        rows = [(key, facts_json.to_text(value), self._changed) for key, value in facts.items()]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", rows)
        for epoch in epochs:
            connection.execute(
                "INSERT OR REPLACE INTO epoch VALUES (?, ?, ?, ?)",
                (epoch.loader, epoch.number, facts_json.to_text(facts_json.epoch_data(epoch)), self._changed),
            )
            connection.execute(
                "DELETE FROM epoch WHERE loader = ? AND number >= ? AND number <= ?",
                (epoch.loader, FIRST_EPOCHS, epoch.number - LATE_EPOCHS),
            )

    def _new_facts(self) -> dict[str, Any]:
        """Those that changed since they were written, as JSON can hold them."""
        facts = self._facts
        cells = count_cells()
        if cells != self._cells:
            self._cells = cells
            facts.metadata = {**facts.metadata, "cells": notebook_cells()}
        trace, findings, nonfinite = list(facts.trace), list(facts.findings.values()), facts.nonfinite
        states: dict[str, tuple[object, Callable[[], Any]]] = {
            "name": (facts.name, lambda: facts.name),
            "steps": (facts.steps, lambda: facts.steps),
            "motivation": (facts.motivation, lambda: facts.motivation),
            "parameters": (_Same(facts.parameters), lambda: facts.parameters),
            "metadata": (_Same(facts.metadata), lambda: facts.metadata),
            "trace": (_Same(*trace[-1:], len(trace)), lambda: facts_json.trace_data(trace)),
            "findings": (_Same(*findings), lambda: [facts_json.finding_data(finding) for finding in findings]),
            "raised": (_Same(facts.raised), lambda: facts.raised),
            "nonfinite": (nonfinite, lambda: facts_json.nonfinite_data(nonfinite)),
        }
        changed = [key for key, (state, _) in states.items() if self._written.get(key, _NOTHING) != state]
        self._written.update({key: states[key][0] for key in changed})
        return {key: states[key][1]() for key in changed}

    def _new_epochs(self) -> list[Epoch]:
        new = []
        for loader in self._facts.loaders():
            for epoch in self._facts.epochs(loader):
                epoch.settle(wait=False)
                state = (epoch.batches, epoch.read, epoch.complete)
                if self._epochs.get((loader, epoch.number)) != state:
                    self._epochs[loader, epoch.number] = state
                    self._epochs.pop((loader, epoch.number - LATE_EPOCHS - FIRST_EPOCHS), None)
                    new.append(epoch)
        return new


class _Same:
    """Equal to another that holds the very same objects; it keeps them alive, so that none is mistaken for a later one."""

    def __init__(self, *objects: object) -> None:
        self._objects = objects

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same) or len(self._objects) != len(other._objects):
            return False
        return all(
            a is b or (isinstance(a, int) and a == b) for a, b in zip(self._objects, other._objects, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]
