"""Requests from the lab extension that are answered while a cell runs.

They come on the control channel, which has a thread of its own in the kernel; the answer is built there, and what is
to happen to the training is only noted and happens at its next step boundary. Where the control channel does not
carry our message, the extension opens a comm instead; the kernel never writes to it (see docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nn_inspector.inspector import current_inspector
from nn_inspector.live.snapshot import PROTOCOL, snapshot

REQUEST, REPLY = "nn_inspector_request", "nn_inspector_reply"
COMM_TARGET = "nn_inspector.control"


def answer(content: Mapping[str, Any], namespace: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Answer a request.

    Args:
        content: {"version": 1, "request": "snapshot" or "stop"}.
        namespace: the notebook's variables, whose names remedies are written with.

    Returns:
        {"version", "status": "ok" or "error", "message", "snapshot"}; an error has no snapshot.
    """
    if content.get("version") != PROTOCOL:
        return _error(
            f"This kernel's nn_inspector speaks version {PROTOCOL} of the protocol, JupyterLab's version "
            f"{content.get('version')}. Install the same version of nn_inspector in both."
        )
    inspector, message = current_inspector(), ""
    if content.get("request") == "stop":
        if inspector is None or not inspector.is_training:
            message = "No training is running."
        else:
            inspector.stop()
            message = "The training stops after this step."
    elif content.get("request") != "snapshot":
        return _error(f"Unknown request: {content.get('request')!r}.")
    return {"version": PROTOCOL, "status": "ok", "message": message, "snapshot": snapshot(inspector, namespace)}


class ControlChannel:
    """Answers requests on the kernel's control channel and on comms that the front end opens."""

    def __init__(self, kernel: Any, namespace: Mapping[str, Any]) -> None:
        self._kernel = kernel
        self._namespace = namespace
        kernel.control_handlers[REQUEST] = self._on_request
        kernel.comm_manager.register_target(COMM_TARGET, self._on_comm)

    def close(self) -> None:
        """Take the handlers out again."""
        self._kernel.control_handlers.pop(REQUEST, None)
        if COMM_TARGET in self._kernel.comm_manager.targets:
            self._kernel.comm_manager.unregister_target(COMM_TARGET, self._on_comm)

    def _on_request(self, stream: Any, ident: Any, parent: Mapping[str, Any]) -> None:
        reply = answer(parent["content"], self._namespace)
        self._kernel.session.send(stream, REPLY, reply, parent, ident=ident)

    def _on_comm(self, comm: Any, message: Mapping[str, Any]) -> None:
        answer(message["content"]["data"], self._namespace)


def _error(message: str) -> dict[str, Any]:
    return {"version": PROTOCOL, "status": "error", "message": message}
