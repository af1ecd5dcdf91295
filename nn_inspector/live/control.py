"""Requests from the lab extension that are answered while a cell runs.

They come on the control channel, which has a thread of its own in the kernel; the answer is built there, and what is
to happen to the training is only noted and happens at its next step boundary. Where the control channel does not
carry our message, the extension opens a comm instead; the kernel never writes to it (see docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nn_inspector.errors import ArgumentError
from nn_inspector.inspector import Inspector
from nn_inspector.live.snapshot import PROTOCOL, snapshot
from nn_inspector.live.visibility import PAGES
from nn_inspector.live.wishes import note_wish
from nn_inspector.watching import current_inspector

REQUEST, REPLY = "nn_inspector_request", "nn_inspector_reply"
COMM_TARGET = "nn_inspector.control"


def answer(content: Mapping[str, Any], namespace: Mapping[str, Any] | None = None, page: str = "") -> dict[str, Any]:
    """Answer a request.

    Args:
        content: {"version": 1, "request": "snapshot", "stop", "pause", "resume", "step", "set_learning_rate" or "look"};
            to set a rate with "value" or "factor", and "group" if it is not for all; to look with what `note_wish` takes. Each may say
            "hidden": true of the page that asks.
        namespace: the notebook's variables, whose names remedies are written with.
        page: which page asks; the session of its message.

    Returns:
        {"version", "status": "ok" or "error", "message", "snapshot"}; an error has no snapshot.
    """
    if content.get("version") != PROTOCOL:
        return _error(
            f"This kernel's nn_inspector speaks version {PROTOCOL} of the protocol, JupyterLab's version "
            f"{content.get('version')}. Install the same version of nn_inspector in both."
        )
    PAGES.note(content, page)
    inspector, request, message = current_inspector(), content.get("request"), ""
    if request in _STEERING:
        if inspector is None or not inspector.is_training:
            message = "No training is running."
        else:
            message = _STEERING[request](inspector, content)
    elif request == "look":
        message = "" if note_wish(content) else "This dashboard is not there any more."
    elif request != "snapshot":
        return _error(f"Unknown request: {request!r}.")
    return {"version": PROTOCOL, "status": "ok", "message": message, "snapshot": snapshot(inspector, namespace)}


def _stop(inspector: Inspector, content: Mapping[str, Any]) -> str:
    inspector.stop()
    return "The training stops after this step."


def _pause(inspector: Inspector, content: Mapping[str, Any]) -> str:
    """This request has reached a running training, so Resume can reach it on the same way."""
    inspector.pause()
    return "The training waits after this step. Resume lets it go on; Interrupt ends it."


def _resume(inspector: Inspector, content: Mapping[str, Any]) -> str:
    inspector.resume()
    return "The training goes on."


def _step(inspector: Inspector, content: Mapping[str, Any]) -> str:
    inspector.single_step()
    return "The training makes one step and waits."


def _set_learning_rate(inspector: Inspector, content: Mapping[str, Any]) -> str:
    group: Any = content.get("group")
    try:
        if "factor" in content:
            inspector.scale_learning_rate(content["factor"], group)
            return f"The learning rate is multiplied by {content['factor']:g} from the next step on."
        value: Any = content.get("value")
        inspector.set_learning_rate(value, group)
    except ArgumentError as error:
        return str(error)
    return f"The learning rate is {value:g} from the next step on."


_STEERING: Mapping[Any, Callable[[Inspector, Mapping[str, Any]], str]] = {
    "stop": _stop,
    "pause": _pause,
    "resume": _resume,
    "step": _step,
    "set_learning_rate": _set_learning_rate,
}


class ControlChannel:
    """Answers requests on the kernel's control channel and on comms that the front end opens.

    Args:
        kernel: ipykernel's.
        namespace: the notebook's variables.
        on_heard: called with each request: a lab extension is there. In a row of cells that were started at once it is heard
            here first, for what it says by the comm waits until the last of them has ended.
    """

    def __init__(self, kernel: Any, namespace: Mapping[str, Any], on_heard: Callable[[], None]) -> None:
        self._kernel = kernel
        self._namespace = namespace
        self._on_heard = on_heard
        kernel.control_handlers[REQUEST] = self._on_request
        kernel.comm_manager.register_target(COMM_TARGET, self._on_comm)

    def close(self) -> None:
        """Take the handlers out again."""
        self._kernel.control_handlers.pop(REQUEST, None)
        if COMM_TARGET in self._kernel.comm_manager.targets:
            self._kernel.comm_manager.unregister_target(COMM_TARGET, self._on_comm)

    def _on_request(self, stream: Any, ident: Any, parent: Mapping[str, Any]) -> None:
        self._on_heard()
        reply = answer(parent["content"], self._namespace, parent["header"]["session"])
        self._kernel.session.send(stream, REPLY, reply, parent, ident=ident)

    def _on_comm(self, comm: Any, message: Mapping[str, Any]) -> None:
        self._on_heard()
        answer(message["content"]["data"], self._namespace, message["header"]["session"])


def _error(message: str) -> dict[str, Any]:
    return {"version": PROTOCOL, "status": "error", "message": message}
