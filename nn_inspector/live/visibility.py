"""Whether views should be drawn: whether anybody can see the pages that show the training.

What is sent to a hidden page is drawn when it is shown again, all of it: some minutes of updates freeze it then for as
long. So the views rest while every page is hidden. The lab extension says with each request whether its page is hidden; it
asks when that changes, and every few seconds while a training runs. What is sent to a page that says no more, on a laptop that
sleeps or has lost its network, waits in the server and freezes it as well: next to nothing is drawn then. Where there is no
extension nothing is known: the views are drawn more and more rarely, the longer nobody gave a sign of life.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

TRUST = 5.0
"""Seconds for which a page counts as seen after it has said so: while it is, it says so every three. In longer silence the updates come
each ten times later than the one before: 15 in eight hours, so that something is seen should only its word not arrive."""

SPARING = 10.0
"""Where no page says anything, a tenth of the time since the last sign of life passes between two updates: after five seconds they
begin to come more rarely, after ten minutes every minute. In an hour that makes about 70, where there would be 7,200."""

_PAGES = 32
"""So many latest pages are remembered."""


class Visibility:
    """What each page has said last."""

    def __init__(self) -> None:
        self._pages: dict[str, bool] = {}
        self._alive = time.monotonic()

    def is_due(self, drawn: float) -> bool:
        """Whether views should be drawn now.

        Args:
            drawn: when they were drawn last, by `time.monotonic`.
        """
        if not self._pages:
            return self.is_worth_keeping(drawn)
        now = time.monotonic()
        return not all(self._pages.values()) and now - drawn >= 0.9 * (now - self._alive - TRUST)

    def is_worth_keeping(self, drawn: float) -> bool:
        """Whether what a saved notebook shows should be drawn now: also for a page that is hidden, but for one that was closed it piles up.

        Args:
            drawn: when it was drawn last, by `time.monotonic`.
        """
        now = time.monotonic()
        return now - drawn >= (now - self._alive) / SPARING

    def wake(self) -> None:
        """Somebody is there: a cell was run, or a button clicked."""
        self._alive = time.monotonic()

    def note(self, content: Mapping[str, Any], page: str = "") -> None:
        """A page has sent this.

        Args:
            content: of its message; with "hidden": true if nobody can see the page.
            page: which; the session of the message.
        """
        hidden = content.get("hidden") is True
        known = {other: said for other, said in self._pages.items() if other != page} | {page: hidden}
        self._pages = dict(list(known.items())[-_PAGES:])
        if not hidden:
            self.wake()


PAGES = Visibility()
"""The pages in which this kernel's notebook is open."""
