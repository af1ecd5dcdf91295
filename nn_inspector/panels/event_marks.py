"""Marks on the axis of steps: what was found then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bqplot
import numpy as np

EVENT = "#333333"

ABOVE = 0.03
"""Of the height of the chart: a mark stands on the axis, and not over the numbers below it."""

Events = tuple[tuple[float, str], ...]


def by_step(events: Events) -> dict[float, str]:
    """What each mark stands for, in words; what happened at the same step has one.

    Example:
        >>> by_step(((1200.0, "divergence"), (3.0, "loss_spike"), (1200.0, "oscillation")))
        {3.0: 'step 3: loss_spike', 1200.0: 'step 1,200: divergence, oscillation'}
    """
    steps = sorted({step for step, _ in events})
    return {step: f"step {int(step):,}: {', '.join(what for at, what in events if at == step)}" for step in steps}


class EventMarks(bqplot.Scatter):
    """Triangles on the axis; each says in its tooltip what it stands for.

    Args:
        steps: the scale that the chart's lines lie on.
        on_event: called with what happened when its mark is clicked; of several, with the first.
    """

    def __init__(self, steps: bqplot.LinearScale, on_event: Callable[[str], None] | None) -> None:
        self._events: Events = ()
        self._on_event = on_event
        self._tip = bqplot.Tooltip(fields=["name"], labels=["found"])
        super().__init__(
            x=[0.0],
            y=[0.0],
            names=[""],
            display_names=False,
            scales={"x": steps, "y": bqplot.LinearScale(min=0.0, max=1.0, allow_padding=False)},
            preserve_domain={"x": True},
            marker="triangle-up",
            default_size=60,
            colors=[f"var(--jp-ui-font-color1, {EVENT})"],
            tooltip=self._tip,
            apply_clip=False,
            visible=False,
        )
        self.on_element_click(self._on_click)

    def show(self, events: Events) -> None:
        """Mark these and no others."""
        if events == self._events:
            return
        self._events = events
        marks = by_step(events)
        with self.hold_sync():
            self.visible = bool(marks)
            if marks:
                self.names = np.array(list(marks.values()))
                self.x = np.array(list(marks), dtype=np.float64)
                self.y = np.full(len(marks), ABOVE)

    def close(self) -> None:
        """Close the marks and their tooltip."""
        self._tip.close()
        super().close()

    def _on_click(self, _: Any, event: Any) -> None:
        place = (event.get("data") or {}).get("index")
        steps = list(by_step(self._events))
        if self._on_event is not None and isinstance(place, int) and 0 <= place < len(steps):
            self._on_event(next(what for step, what in self._events if step == steps[place]))
