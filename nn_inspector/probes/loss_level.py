"""Says of each loss, as it comes, whether it stands out among those just before."""

from __future__ import annotations

import math

LEAP = 6.0
"""A loss leaps up where it lies so many usual deviations above its recent level, and half of that level."""

REST = 20
"""After a leap, or a loss that is not finite, so many steps pass before another one is worth a look."""

_USUAL = 0.1
"""Share of a new loss in the level: it follows the latest ten or twenty."""

_REMEMBERED = 0.995
"""What is left of the height of a leap after a step: half of it after 140."""

_KNOWN = 10
"""So many losses make a level."""


class LossLevel:
    """Follows the level of a loss: its mean and its mean absolute deviation, each an exponential average.

    Where leaps come again and again, as with batches of one item, only one that is at least half as high as the last one
    looked at counts; how high that was is forgotten slowly. What leaps up is taken into the level as far as a leap begins only, so that one spike does not hide the next.

    Example:
        >>> level = LossLevel()
        >>> [level.stands_out(loss) for loss in (*[2.0, 2.1] * 10, 9.0, 2.0, float("nan"), float("nan"))][-4:]
        [True, False, True, False]
    """

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        self._known = 0
        self._rest = 0
        self._finite = True
        self._lost_lately = False
        self._highest = 0.0

    def stands_out(self, loss: float) -> bool:
        """Take the next loss; whether it is the first that is not finite, or far above those before it."""
        self._rest -= 1
        if not math.isfinite(loss):
            begins, self._finite = self._finite, False
            return begins and self._look(of_leap=False)
        self._finite = True
        away = loss - self._mean
        limit = max(LEAP * self._deviation, 0.5 * abs(self._mean))
        leaps = self._known >= _KNOWN and away > limit
        self._follow(limit if leaps else away)
        self._highest *= _REMEMBERED
        if leaps and away >= 0.5 * self._highest and self._look(of_leap=True):
            self._highest = away
            return True
        return False

    def _follow(self, away: float) -> None:
        """Take a loss so far from the level into it."""
        share = max(_USUAL, 1.0 / (self._known + 1))
        self._mean += share * away
        if self._known:
            self._deviation += share * (abs(away) - self._deviation)
        self._known += 1

    def _look(self, *, of_leap: bool) -> bool:
        """Whether there has been rest enough. The loss is lost once: that is looked at also just after a leap."""
        if self._rest > 0 and (of_leap or self._lost_lately):
            return False
        self._rest, self._lost_lately = REST, not of_leap
        return True
