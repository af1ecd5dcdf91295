"""Opens a run file to read it, whoever wrote it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from nn_inspector.errors import RunFileError
from nn_inspector.history.blobs import BlobError
from nn_inspector.history.facts_json import FactError
from nn_inspector.history.schema import APPLICATION, TABLES, VERSION

_PATIENCE = 5.0
_DAMAGED = "It is damaged, or was not written by nn_inspector: take another copy of it."
_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process: they are neither used nor closed here, as either could harm its file."""


class ReadConnection:
    """A read-only connection, made when it is needed and made anew in a child process.

    The file is data. It is opened read-only, with the schema not trusted to call functions, and refused unless its tables
    are exactly ours. Another program's lock on the file is let go of when any handle of this process on it is closed, so
    it is never looked at in another way than through SQLite.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is read within sees one state of the file.

        Raises:
            RunFileError: the file is not a run file, or is damaged.
        """
        if self._process != os.getpid():
            _inherited.extend([self._connection] if self._connection is not None else [])
            self._connection, self._process, self._lock = None, os.getpid(), threading.RLock()
        with self._lock:
            try:
                connection = self._connect()
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    connection.execute("ROLLBACK")
            except (BlobError, FactError) as error:
                raise self.refused(str(error)) from error
            except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite repeats names from the file as they are
                self.close()
                raise self._explain(error) from error

    def close(self) -> None:
        """Let go of the file; the next reading opens it again."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def refused(self, got: str) -> RunFileError:
        """The error that says what is wrong with the contents."""
        return RunFileError(self.path, expected="a sound run file", got=got, advice=_DAMAGED)

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self.path.is_file():
                got = "a folder" if self.path.is_dir() else "no such file"
                advice = "nni.runs() lists the runs in a folder."
                raise RunFileError(self.path, expected="a run file", got=got, advice=advice)
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            return self._checked("mode=ro")
        except sqlite3.OperationalError:
            if self.path.with_name(f"{self.path.name}-wal").exists():
                raise
            return self._checked(
                "mode=ro&immutable=1"
            )  # closed in the middle, and copied to where nothing can be written

    def _checked(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA cache_size = -2000")
            self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            got, advice = "a database of something else", "nni.runs() lists the runs in a folder."
            if not tables:
                got, advice = (
                    "an empty file",
                    "Its training has not begun yet, or could not write: open it again later.",
                )
            raise RunFileError(self.path, expected="a run file", got=got, advice=advice)
        if version > VERSION:
            raise RunFileError(
                self.path,
                expected=f"a run file of version {VERSION} or older",
                got=f"one of version {version}, from a newer nn_inspector",
                advice="Upgrade this one: pip install --upgrade nn_inspector.",
            )
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL LIMIT 100").fetchall()
        if version != VERSION or dict(found) != TABLES or len(found) != len(TABLES):
            raise self.refused("tables that are not those of a run file")

    def _explain(self, error: Exception) -> RunFileError:
        text = str(error)[:200]
        if "locked" in text or "busy" in text:
            return RunFileError(
                self.path,
                expected="a file that may be read",
                got=text,
                advice="Another program holds it: try again.",
            )
        if "unable to open" in text:
            advice = "Copy it, and the files beside it that begin with its name, to a folder in which you may write."
            return RunFileError(self.path, expected="a file that may be read", got=text, advice=advice)
        return RunFileError(
            self.path, expected="a run file", got=f"something that SQLite refuses ({text})", advice=_DAMAGED
        )
