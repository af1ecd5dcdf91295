"""Whether the page that shows the training can be seen.

What is sent to a hidden page is drawn when it is shown again, all of it: some minutes of updates freeze it then for as
long. So the views rest meanwhile. The lab extension says with each request whether its page is hidden, and asks when that
changes; where there is no extension, nothing is known and the views go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Visibility:
    """What the page has said last.

    Attributes:
        is_hidden: whether it is hidden.
    """

    def __init__(self) -> None:
        self.is_hidden = False

    def note(self, content: Mapping[str, Any]) -> None:
        """The page has sent this."""
        self.is_hidden = content.get("hidden") is True


PAGE = Visibility()
"""The page of this kernel's notebook."""
