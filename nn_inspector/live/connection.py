"""The kernel's side of the lab extension: announces itself, keeps the side panel up to date, sends cells to insert."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from nn_inspector.inspector import Inspector
from nn_inspector.live.control import ControlChannel
from nn_inspector.live.snapshot import PROTOCOL, snapshot
from nn_inspector.live.visibility import PAGES
from nn_inspector.watching import current_inspector, on_watch

COMM_TARGET = "nn_inspector.catalog"

_INTERVAL = 1.0
"""Seconds between two snapshots at the least while a training runs."""


class Connection:
    """One kernel's connection; made by `connect()`.

    Attributes:
        heard: whether a lab extension has answered. Without one, nothing can insert cells.
        runs_cell: whether a cell runs now, so that messages of widgets wait.
    """

    def __init__(self, shell: Any) -> None:
        from comm import create_comm  # noqa: PLC0415 - comes with ipykernel, and only a kernel gets here

        self.heard = False
        self.runs_cell = True  # the one that makes the connection
        self._shell = shell
        self._control = ControlChannel(shell.kernel, shell.user_ns, self._hear)
        self._last_sent = 0.0
        self._after: list[Callable[[], None]] = []
        self._comm = create_comm(target_name=COMM_TARGET, data={"version": PROTOCOL, "snapshot": self._snapshot()})
        self._comm.on_msg(self._on_message)
        self._forget_inspectors = on_watch(self._follow)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)

    def close(self) -> None:
        """Leave nothing behind in the kernel."""
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)
        self._forget_inspectors()
        self._control.close()
        self._comm.close()

    def add(self, after_cell: Callable[[], None]) -> None:
        """Call a function whenever a cell has ended."""
        self._after.append(after_cell)

    def remove(self, after_cell: Callable[[], None]) -> None:
        """End what `add` began."""
        if after_cell in self._after:
            self._after.remove(after_cell)

    def send_snapshot(self) -> None:
        """Bring the side panel up to date, at most once a second, and only while a page may be seen: what is sent to none piles up."""
        if time.monotonic() - self._last_sent >= _INTERVAL and PAGES.is_due(self._last_sent):
            self._send_snapshot()

    def insert_cell(self, source: str) -> bool:
        """Put a code cell below the active one; returns False where no lab extension listens."""
        if self.heard:
            self._comm.send({"version": PROTOCOL, "type": "insert_cell", "source": source})
        return self.heard

    def _send_snapshot(self) -> None:
        self._last_sent = time.monotonic()
        self._comm.send({"version": PROTOCOL, "type": "snapshot", "snapshot": self._snapshot()})

    def _snapshot(self) -> dict[str, Any]:
        return snapshot(current_inspector(), self._shell.user_ns)

    def _follow(self, inspector: Inspector) -> None:
        """A training is watched from now on."""
        inspector.subscribe(self.send_snapshot, self._send_snapshot)
        self._send_snapshot()

    def _hear(self) -> None:
        self.heard = True

    def _on_message(self, message: Mapping[str, Any]) -> None:
        self._hear()
        if message["content"]["data"].get("type") == "hello":
            PAGES.note(message["content"]["data"], message["header"]["session"])
            self._send_snapshot()

    def _before_cell(self, *_: Any) -> None:
        self.runs_cell = True
        PAGES.wake()
        inspector = current_inspector()
        if inspector is not None:
            inspector.forget_requests()

    def _after_cell(self, *_: Any) -> None:
        self.runs_cell = False
        inspector = current_inspector()
        if inspector is not None:
            inspector.settle()
        for listener in list(self._after):
            listener()
        self._send_snapshot()


_connection: Connection | None = None


def current_connection() -> Connection | None:
    """The connection of this kernel, if there is one."""
    return _connection


def connect() -> Connection | None:
    """Make the connection if this is a Jupyter kernel and it is not made yet."""
    global _connection  # noqa: PLW0603 - a kernel has one front end protocol
    if _connection is None:
        import IPython  # noqa: PLC0415 - views are where IPython begins

        shell = IPython.get_ipython()
        if getattr(shell, "kernel", None) is not None:
            _connection = Connection(shell)
    return _connection


def disconnect() -> None:
    """Close the connection."""
    global _connection  # noqa: PLW0603
    if _connection is not None:
        _connection.close()
        _connection = None
