"""The thread that writes a run to its file."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from nn_inspector.errors import describe_error
from nn_inspector.history.entries import Entries
from nn_inspector.history.facts import Facts
from nn_inspector.history.schema import close_written, open_to_write
from nn_inspector.history.staging import MOST_WAITING, Staging
from nn_inspector.probes import Measured

PERIOD = 0.4
"""Seconds between two transactions while there is something to write."""

QUIET_PERIODS = 25
"""After so many with nothing to write, the file is closed and the thread ends, until there is something again."""

_PATIENCE = 15.0


class RunWriter:
    """Takes measurements from the training's thread and writes them in its own.

    The connection is a local variable of the thread: after a fork the child cannot reach it, nor close it by accident.

    Attributes:
        path: the file. If `path` existed it is the next free name with a number.
        removed: whether the file is gone again because there was nothing to keep.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, facts: Facts, report: Callable[[str], None]) -> None:
        self.path = _reserve(path)
        self.removed = False
        self._report = report
        self._staging = Staging()
        self._entries = Entries(facts, self._staging)
        self._off = self._closing = False
        self._dirty = self._idle = True
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._at_work = threading.Lock()
        self._thread: threading.Thread | None = None
        _writers.add(self)
        self._start()

    def put(self, measurements: list[Measured]) -> None:
        """Take measurements; called by one thread only."""
        if self._off:
            return
        self._staging.put(measurements)
        if self._idle:
            self._start()
        elif self._staging.waiting > MOST_WAITING // 4:
            self._wake.set()

    def touch(self) -> None:
        """A fact has changed."""
        self._dirty = True
        if self._idle:
            self._start()

    def end_soon(self) -> None:
        """Write what there is, and end, without being waited for."""
        self._closing = self._dirty = True
        self._wake.set()

    def close(self) -> None:
        """Write what there is, leave one single file, and end. A file that holds nothing is removed."""
        if self._off:
            return
        self.end_soon()
        self._start()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def abandon(self) -> None:
        """This is a child process: the file and the thread belong to the parent."""
        self._off = True

    def hold(self) -> bool:
        """Wait until no transaction is under way, so that the process may fork; say whether there is none."""
        return self._at_work.acquire(timeout=1.0)

    def release(self) -> None:
        """The process has forked."""
        self._at_work.release()

    def _start(self) -> None:
        if self._off:
            return
        with self._starting:
            if self._idle:
                self._idle = False
                self._thread = threading.Thread(target=self._main, name="nn_inspector writer", daemon=True)
                self._thread.start()

    def _main(self) -> None:
        while True:
            try:
                self._session()
            except Exception as error:  # noqa: BLE001 - whatever the disk does, the training goes on
                self._give_up(error)
            with self._starting:
                if self._off or not (self._staging.waiting or self._dirty):
                    self._idle = True
                    return

    def _session(self) -> None:
        """Open the file, write until there is nothing to write for a while, and close it."""
        with self._at_work:
            connection = open_to_write(self.path)
        try:
            quiet, identity = 0, self.path.stat().st_ino
            while quiet < QUIET_PERIODS and not self._closing:
                with self._at_work:
                    quiet = 0 if self._write(connection) else quiet + 1
                self._wake.wait(PERIOD)
                self._wake.clear()
                if self.path.stat().st_ino != identity:
                    raise FileNotFoundError("another file is in its place")
            with self._at_work:
                self._write(connection)
        finally:
            with self._at_work:
                close_written(connection)
        self._say_what_is_missing()
        if self._closing and self._entries.empty:
            self._off = self.removed = True
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _write(self, connection: sqlite3.Connection) -> bool:
        self._dirty = False
        return self._entries.write(connection)

    def _say_what_is_missing(self) -> None:
        missing = []
        if self._staging.lost:
            missing.append(f"{self._staging.lost:,} values that came faster than the disk took them")
        if self._staging.left_out:
            names = ", ".join(sorted(self._staging.left_out)[:3])
            missing.append(f"vectors that are too long or whose length changed ({names})")
        self._staging.lost, self._staging.left_out = 0, set()
        if missing:
            self._say(f"The file {self.path} lacks {' and '.join(missing)}.")

    def _give_up(self, error: Exception) -> None:
        self._off = True
        self._staging.take()
        self._say(f"The run is not written to {self.path} any longer ({describe_error(error)}). It goes on in memory.")

    def _say(self, trouble: str) -> None:
        with contextlib.suppress(Warning):  # one that is taken for an error must not end this thread
            self._report(trouble)


_writers: weakref.WeakSet[RunWriter] = weakref.WeakSet()
_held: list[RunWriter] = []


def _reserve(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(2):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            stem = path.stem if number == 2 else path.stem.rpartition("-")[0]
            path = path.with_name(f"{stem}-{number}{path.suffix}")
        else:
            break
    return path


def _close_all() -> None:
    for writer in list(_writers):
        writer.close()


def _before_fork() -> None:
    _held.extend(writer for writer in list(_writers) if writer.hold())


def _in_parent() -> None:
    while _held:
        _held.pop().release()


def _in_child() -> None:
    for writer in list(_writers):
        writer.abandon()
    _held.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
