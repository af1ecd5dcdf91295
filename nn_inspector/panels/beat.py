"""A beat by the clock, for who is called at irregular times."""

from __future__ import annotations

import time


class Beat:
    """Counts the beats that have gone by.

    Args:
        seconds: from one beat to the next, above 0.

    Example:
        >>> beat = Beat(60.0)
        >>> beat.begin()
        >>> beat.going, beat.count()
        (True, 0)
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._counted: float | None = None

    @property
    def going(self) -> bool:
        """Whether it was begun and not ended."""
        return self._counted is not None

    def begin(self) -> None:
        """Beat from now on."""
        self._counted = time.monotonic()

    def end(self) -> None:
        """Beat no longer."""
        self._counted = None

    def count(self) -> int:
        """The beats since the last time; none of a beat that does not go."""
        if self._counted is None:
            return 0
        beats = int((time.monotonic() - self._counted) / self._seconds)
        self._counted += beats * self._seconds
        return beats
