"""Everything that talks to a front end while a cell runs."""

from nn_inspector.live.connection import Connection, connect, current_connection, disconnect
from nn_inspector.live.hosts import prepare_host
from nn_inspector.live.live_findings import follow_findings
from nn_inspector.live.publisher import RARE, Publisher
from nn_inspector.live.snapshot import PROTOCOL, snapshot
from nn_inspector.live.visibility import PAGES
from nn_inspector.live.wishes import Wishes, is_place, is_whole

__all__ = [
    "PAGES",
    "PROTOCOL",
    "RARE",
    "Connection",
    "Publisher",
    "Wishes",
    "connect",
    "current_connection",
    "disconnect",
    "follow_findings",
    "is_place",
    "is_whole",
    "prepare_host",
    "snapshot",
]
