"""Whether views should be drawn: whether anybody can see the pages that show the training.

What is sent to a hidden page is drawn when it is shown again, all of it: some minutes of updates freeze it then for as
long. So the views rest while every page is hidden. The lab extension says with each request whether its page is hidden; it
asks when that changes, and once a minute while a cell runs. Where there is no extension nothing is known: the views are
drawn more and more rarely then, the longer nobody gave a sign of life.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

HOLDS = 180.0
"""Seconds for which a page counts as seen after it has said so: while it is, it says so once a minute. One that was hidden stays so
until it says otherwise: its timers may be held back for long, and browsers hide a page before they close it."""

SPARING = 40.0
"""Where no page says anything, a fortieth of the time since the last sign of life passes between two updates: after twenty seconds they
begin to come more rarely, after ten minutes every 15 s. In an hour that makes about 250, where there would be 7,200."""

_PAGES = 32
"""So many latest pages are remembered."""


class Visibility:
    """What each page has said last."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[bool, float]] = {}
        self._alive = time.monotonic()

    def is_due(self, drawn: float) -> bool:
        """Whether views should be drawn now.

        Args:
            drawn: when they were drawn last, by `time.monotonic`.
        """
        now = time.monotonic()
        if self._pages:
            said = [hidden for hidden, until in self._pages.values() if hidden or now < until]
            return not said or not all(said)
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
        now = time.monotonic()
        known = {other: said for other, said in self._pages.items() if other != page and (said[0] or now < said[1])}
        known[page] = (content.get("hidden") is True, now + HOLDS)
        self._pages = dict(list(known.items())[-_PAGES:])


PAGES = Visibility()
"""The pages in which this kernel's notebook is open."""
