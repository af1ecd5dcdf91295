"""What a page wants to see of a dashboard while a cell runs.

A click on a widget waits until the cell has ended. So the lab extension says on the control channel what was clicked; it is noted here
from that thread, and the dashboard does it in the training's thread at its next update, which comes at once.
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard
from weakref import WeakValueDictionary

_MOST = 100
"""So many latest wishes wait at the most."""

_MOVES = ("step", "by")
"""What is said of the slider."""

_KERNEL = secrets.token_hex(4)
"""Tells the dashboards of this process from those of others, which may stand in the same page."""

_numbers = itertools.count(1)


class Wishes:
    """What is wanted of one dashboard.

    Args:
        hasten: called, from any thread, when there is something to do.

    Attributes:
        key: which dashboard it is, as the page says it.
    """

    def __init__(self, hasten: Callable[[], None]) -> None:
        self.key = f"{_KERNEL}-{next(_numbers)}"
        self._hasten = hasten
        self._waiting: deque[Mapping[str, Any]] = deque(maxlen=_MOST)
        _known[self.key] = self

    def note(self, wish: Mapping[str, Any]) -> None:
        """Remember a wish until it is taken."""
        self._waiting.append(wish)
        self._hasten()

    def close(self) -> None:
        """The dashboard is there no longer."""
        _known.pop(self.key, None)

    def take(self) -> list[Mapping[str, Any]]:
        """What has come since the last time; of moves of the slider only those from the last step on."""
        kept: list[Mapping[str, Any]] = []
        for wish in reversed([self._waiting.popleft() for _ in range(len(self._waiting))]):
            passed = bool(kept) and "step" in kept[-1] and not wish.keys().isdisjoint(_MOVES)
            kept += [] if passed else [wish]
        return kept[::-1]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a page has said a whole number.

    Example:
        >>> is_whole(-3), is_whole(3.0), is_whole(True), is_whole("3")
        (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool)


def is_place(value: object) -> TypeGuard[int]:
    """Whether a page has said a step or a place in a list: a whole number from 0."""
    return is_whole(value) and value >= 0


_known: WeakValueDictionary[str, Wishes] = WeakValueDictionary()


def dashboards() -> list[str]:
    """The keys of all dashboards that are there. May be called from any thread."""
    return [wishes.key for reference in _known.valuerefs() if (wishes := reference()) is not None]


def note_wish(content: Mapping[str, Any]) -> bool:
    """Hand a request on to the dashboard that it is for; whether there is such a one.

    Args:
        content: with "dashboard", its key; and "check", whose evidence is wanted, or "step", a number or "latest", or "by", so
            many steps on, or "play", "log_loss" or "log_metrics", true or false, or "option", a place in the list of layers, or "find", a part of a name, or "chart" and
            "row", places of what was clicked.
    """
    wishes = _known.get(str(content.get("dashboard")))
    if wishes is not None:
        wishes.note(content)
    return wishes is not None
