"""The one place from which live views are updated: at most so often, and never for more than their share of the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nn_inspector.inspector import Inspector

INTERVAL = 0.5
"""Seconds between two updates at the least."""

SHARE = 0.3
"""Panels may use this much of the overhead budget; the probes adapt to what is left."""

RARE = 10.0
"""Seconds between two updates that are worth a word."""


class Publisher:
    """Calls the views of one inspector after its steps, by the clock.

    An update that takes long makes the next one come later, however much later, so that all of them together keep to their
    share of `max_overhead`. The first one stands outside of this: much of what it takes is only to begin.

    Args:
        inspector: whose steps to follow.
        share: how much of the overhead budget the updates may use.
        interval: seconds between two updates at the least.

    Attributes:
        pause: seconds from the latest update to the next one.
    """

    def __init__(
        self,
        inspector: Inspector,
        *,
        share: float = SHARE,
        interval: float = INTERVAL,
    ) -> None:
        self.pause = self._interval = interval
        self._share = share * inspector.max_overhead
        self._views: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._next: float | None = None
        self._hurry = False
        self._end = inspector.subscribe(self._tick, self.update)

    def add(self, update: Callable[[], None]) -> Callable[[], None]:
        """Call `update` from now on; returns a function that ends this."""
        with self._lock:
            self._views.append(update)
        return lambda: self._remove(update)

    def update(self) -> None:
        """Update all views now."""
        with self._lock:
            begin, self._hurry = time.monotonic(), False
            for view in list(self._views):
                view()
            cost = time.monotonic() - begin if self._next is not None else 0.0
            self.pause = max(self._interval, cost / self._share)
            self._next = begin + self.pause

    def hasten(self) -> None:
        """Let the next update come after the next step. May be called from any thread."""
        self._hurry = True

    def close(self) -> None:
        """Stop following the training."""
        self._end()
        with self._lock:
            self._views.clear()

    def _tick(self) -> None:
        if self._views and (self._hurry or self._next is None or time.monotonic() >= self._next):
            self.update()

    def _remove(self, update: Callable[[], None]) -> None:
        with self._lock:
            if update in self._views:
                self._views.remove(update)
