"""What a run file is: an SQLite database with these tables and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

APPLICATION = 0x6E6E4931
"""SQLite's application id of a run file: "nnI1"."""

VERSION = 1
"""Version of the tables. A reader for each older version stays in `reader.py`."""

TABLES = {
    "meta": """CREATE TABLE meta (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, changed INTEGER NOT NULL
) WITHOUT ROWID""",
    "epoch": """CREATE TABLE epoch (
    loader TEXT NOT NULL, number INTEGER NOT NULL, value TEXT NOT NULL, changed INTEGER NOT NULL,
    PRIMARY KEY (loader, number)
) WITHOUT ROWID""",
    "series": """CREATE TABLE series (
    id INTEGER PRIMARY KEY, quantity TEXT NOT NULL, source TEXT NOT NULL, width INTEGER NOT NULL, folded INTEGER NOT NULL
)""",
    "tail": """CREATE TABLE tail (
    id INTEGER PRIMARY KEY, width INTEGER NOT NULL, count INTEGER NOT NULL, data BLOB NOT NULL
)""",
    "chunk": """CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, series INTEGER NOT NULL, level INTEGER NOT NULL, number INTEGER NOT NULL,
    first_step INTEGER NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL
)""",
    "chunk_number": "CREATE UNIQUE INDEX chunk_number ON chunk (series, level, number)",
    "chunk_step": "CREATE INDEX chunk_step ON chunk (series, level, first_step, number)",
}
"""`meta` and `epoch` hold JSON. `changed` counts transactions, so that a reader asks only for what is new.

`tail` holds the latest values of all series in the order in which they came. When it is full it is folded into `chunk`:
the exact values of one series at level 0, and buckets at the levels above (see `levels.py`); `folded` says how many values
of a series are in its chunks. Blobs are described in `blobs.py`.
"""

_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "afs", "lustre", "gpfs", "beegfs", "ceph", "fuse.glusterfs")
_PATIENCE = 10.0


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection for the one thread that writes; the file must exist and may be empty.

    A write-ahead log lets others read while we write. It needs shared memory between them, so a file on a network drive
    keeps SQLite's ordinary journal.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE)
    try:
        if not on_network(path):
            connection.execute("PRAGMA journal_mode = WAL")  # where it is refused the journal stays what it was
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -2000")
        (empty,) = connection.execute("SELECT NOT count(*) FROM sqlite_master").fetchone()
        if empty:
            connection.execute("BEGIN IMMEDIATE")
            for statement in TABLES.values():
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def close_written(connection: sqlite3.Connection) -> None:
    """Leave one single file behind, if nobody reads it now; else the last reader's leaving does."""
    try:
        connection.execute("PRAGMA busy_timeout = 100")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        pass  # a reader holds it; the log beside the file is complete
    finally:
        connection.close()


def on_network(path: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether the file lies on a network drive, as far as this system says."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        place = path.resolve()
    except OSError:
        return False
    kinds = {Path(fields[1].replace("\\040", " ")): fields[2] for fields in map(str.split, lines) if len(fields) > 2}
    nearest = next((kinds[folder] for folder in place.parents if folder in kinds), "")
    return nearest.startswith(_NETWORK)
