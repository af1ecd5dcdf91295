"""Makes the passive checks now and then while a training runs, so that a mistake is seen before its end."""

from __future__ import annotations

from weakref import WeakSet

from nn_inspector.inspector import Inspector
from nn_inspector.live.patience import Patience
from nn_inspector.live.publisher import Publisher
from nn_inspector.probes import DENSE_STEPS

INTERVAL = 2.0
"""Seconds between two looks at the least."""

SHARE = 0.2
"""Looking may use this much of the overhead budget, beside the panels."""


class LiveFindings:
    """Follows one training. Like all that is live it keeps to its share of the overhead budget.

    Args:
        inspector: whose training.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._patience = Patience()
        self._seen = -1
        self._publisher = Publisher(inspector, share=SHARE, interval=INTERVAL)
        self._publisher.add(self.look)

    def look(self) -> None:
        """Make the passive checks and note what has become news."""
        steps = self._inspector.run.steps
        if steps <= DENSE_STEPS or steps == self._seen:
            return
        self._seen = steps
        for finding in self._patience.heed(self._inspector.glance()):
            self._inspector.note(finding)


_followed: WeakSet[Inspector] = WeakSet()


def follow_findings(inspector: Inspector) -> None:
    """Keep the findings of an inspector up to date; once is enough for all views."""
    if inspector not in _followed:
        _followed.add(inspector)
        LiveFindings(inspector)
