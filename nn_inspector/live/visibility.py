"""Whether the page that shows the training can be seen.

What is sent to a hidden page is drawn when it is shown again, all of it: some minutes of updates freeze it then for as
long. So the views rest meanwhile. The lab extension says with each request whether its page is hidden, and asks when that
changes and while a cell runs; where there is no extension, nothing is known and the views go on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

HOLDS = 180.0
"""Seconds for which a page that said it is hidden counts as hidden. It asks once a minute at least while a cell runs; one
that was closed asks no more, and must not keep the views of another front end at rest."""


class Visibility:
    """What the page has said last."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def is_hidden(self) -> bool:
        """Whether the page said so, not long ago."""
        return time.monotonic() < self._until

    def note(self, content: Mapping[str, Any]) -> None:
        """The page has sent this."""
        self._until = time.monotonic() + HOLDS if content.get("hidden") is True else 0.0


PAGE = Visibility()
"""The page of this kernel's notebook."""
