"""What is shown while a training runs: not what one look says, but what several in a row do."""

from __future__ import annotations

from collections.abc import Iterable

from nn_inspector.history import Finding

LOOKS = 3
"""So many looks in a row must raise a finding before it is shown, and as many must not before it is taken back."""


class Patience:
    """Decides which findings are news.

    Args:
        looks: how many looks in a row must agree.
    """

    def __init__(self, looks: int = LOOKS) -> None:
        self._looks = looks
        self._raised: set[str] = set()
        self._against: dict[str, int] = {}

    def heed(self, findings: Iterable[Finding]) -> list[Finding]:
        """Take the findings of one look and return those to be shown from now on: raised at last, changed, or taken back.

        Example:
            >>> patience = Patience(looks=2)
            >>> sorted_items = Finding("shuffling", "error", "The items come sorted.")
            >>> [len(patience.heed([sorted_items])) for _ in range(2)]
            [0, 1]
        """
        return [finding for finding in findings if self._is_news(finding)]

    def _is_news(self, finding: Finding) -> bool:
        name = finding.check
        if finding.raised == (name in self._raised):
            self._against.pop(name, None)
            return finding.raised
        self._against[name] = self._against.get(name, 0) + 1
        if self._against[name] < self._looks:
            return False
        del self._against[name]
        self._raised ^= {name}
        return True
