"""Marks on the axis of steps: what was found then."""

from __future__ import annotations

from collections.abc import Callable

import bqplot

from nn_inspector.panels.found_marks import Events, FoundMarks

ABOVE = 0.03
"""Of the height of the chart: a mark stands on the axis, and not over the numbers below it."""


def by_step(events: Events) -> dict[float, str]:
    """What each mark stands for, in words; what happened at the same step has one.

    Example:
        >>> by_step(((1200.0, "divergence"), (3.0, "loss_spike"), (1200.0, "oscillation")))
        {3.0: 'step 3: loss_spike', 1200.0: 'step 1,200: divergence, oscillation'}
    """
    steps = sorted({step for step, _ in events})
    return {step: f"step {int(step):,}: {', '.join(what for at, what in events if at == step)}" for step in steps}


class EventMarks(FoundMarks):
    """Triangles on the axis of steps."""

    def __init__(self, steps: bqplot.LinearScale, on_event: Callable[[str], None] | None) -> None:
        super().__init__(steps, "x", ABOVE, on_event)

    def show(self, events: Events) -> None:
        """Mark these and no others."""
        self.put(by_step(events), events)
