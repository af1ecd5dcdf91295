"""How fast steps follow each other, and whether they still do."""

from __future__ import annotations

import time

_RUNNING_FOR = 3.0
"""Seconds after a step during which the training counts as running, if its steps are not slower than that."""


class Pace:
    """When the last step was made, and how many seconds a step usually takes."""

    def __init__(self) -> None:
        self._last_step = -_RUNNING_FOR
        self._usual_step = 0.0

    @property
    def is_running(self) -> bool:
        """Whether steps are being made now."""
        return time.monotonic() - self._last_step < max(_RUNNING_FOR, 5 * self._usual_step)

    def note_step(self) -> None:
        """A step was made now."""
        now = time.monotonic()
        self._usual_step = 0.9 * self._usual_step + 0.1 * min(now - self._last_step, 10.0)
        self._last_step = now

    def settle(self) -> None:
        """The loop has ended, for now."""
        self._last_step = -_RUNNING_FOR - 5 * self._usual_step + time.monotonic()
