"""When to measure: every n steps, or as often as the overhead budget allows."""

from __future__ import annotations

import time
from typing import Literal

DENSE_STEPS = 20
"""So many first steps are all measured: this is when initialization, scale and rate show what they do."""

_IDLE = 20.0
"""A gap longer than so many usual steps is a pause of the user's, not training time."""

_LEAST = 0.25
"""So much of the budget goes to full measurements even where the rest uses it up: panels must move."""

_AIM = 0.7
"""So much of the budget is spent. Torch's own part in calling us, and caches gone cold, are not on our clock."""


class Schedule:
    """Decides which steps are measured in full and keeps account of what that costs.

    With `every="auto"` a step is measured when the time saved up, most of `max_overhead` of the training time, pays for what
    a measured step has cost lately. What is done at every step, and views that are brought up to date, are paid from the
    same account; a small one beside it is for full measurements alone. Where what is done at every step costs more than
    `max_overhead`, as it does where a step takes a millisecond, that is not kept. The first `DENSE_STEPS` are measured
    whatever they cost and stand outside the accounts.

    Attributes:
        own: seconds spent by nn_inspector, after the first steps.
        total: seconds of training, `own` included, after the first steps.
        first: seconds spent by nn_inspector in the first steps.
        measured: full measurements, the first ones included.
    """

    def __init__(self, every: int | Literal["auto"] = "auto", max_overhead: float = 0.03) -> None:
        self.every = every
        self.max_overhead = max_overhead
        self.own = 0.0
        self.total = 0.0
        self.first = 0.0
        self.measured = 0
        self._depth = 0
        self._running_since = 0.0
        self._credit = 0.0
        self._reserve = 0.0
        self._step_own = 0.0
        self._shown = 0.0
        self._most_shown = 0.0
        self._others = 0.0
        self._counted = 0
        self._usual_cost = 0.0
        self._usual_step = 0.0
        self._last_end: float | None = None

    def start(self) -> None:
        """From here on it is nn_inspector that works. Calls may be nested."""
        self._depth += 1
        if self._depth == 1:
            self._running_since = time.perf_counter()

    def stop(self) -> None:
        """From here on it is the training again."""
        self._depth -= 1
        if self._depth == 0:
            self._step_own += time.perf_counter() - self._running_since

    def shown(self, seconds: float) -> None:
        """So much of the time that is counted now went into views; it says nothing of what a measured step costs."""
        self._shown += seconds

    @property
    def working(self) -> bool:
        """Whether it is nn_inspector that works now."""
        return self._depth > 0

    @property
    def spent(self) -> float:
        """Seconds spent by nn_inspector so far."""
        running = time.perf_counter() - self._running_since if self._depth else 0.0
        return self.first + self.own + self._step_own + running

    def end_step(self, step: int, was_due: bool) -> bool:
        """Close the account of the step that ends now.

        Args:
            step: number of the step that comes next.
            was_due: whether the step that ended was measured in full.

        Returns:
            Whether the next step is to be measured in full.
        """
        now = time.perf_counter()
        if self._depth:
            self._step_own += now - self._running_since
            self._running_since = now
        elapsed = self._elapsed(now)
        self._last_end = now
        own, self._step_own = self._step_own, 0.0
        shown, self._shown = self._shown, 0.0
        measuring = own - shown if was_due else 0.0
        if step <= DENSE_STEPS:
            self.first += own
        else:
            self.own += own
            self.total += max(elapsed, own)
            self._others += own - measuring
            self._counted += 1
        if was_due:
            self.measured += 1
            self._usual_cost = measuring if self._usual_cost == 0.0 else 0.8 * self._usual_cost + 0.2 * measuring
        if self.every != "auto":
            return step % self.every == 0
        if step < DENSE_STEPS:
            return True
        self._most_shown = max(self._most_shown, shown)
        budget, most = _AIM * self.max_overhead * elapsed, 2 * self._usual_cost
        self._credit = min(max(self._credit + budget - own, -most - 2 * self._most_shown), most)
        self._reserve = min(self._reserve + _LEAST * budget - measuring, most)
        return max(self._credit, self._reserve) >= self._usual_cost

    @property
    def wanted_interval(self) -> float:
        """How many steps apart full measurements should be to keep the budget."""
        usual = _AIM * self.max_overhead * self._usual_step
        left = max(usual - self._others / max(self._counted, 1), _LEAST * usual)
        return max(1.0, self._usual_cost / left) if left else 1.0

    def steps_in(self, seconds: float) -> float:
        """How many steps are made in that time, going by the latest; 1 while that is not known, and at least."""
        return max(1.0, seconds / self._usual_step) if self._usual_step else 1.0

    def _elapsed(self, now: float) -> float:
        if self._last_end is None:
            return 0.0
        gap = now - self._last_end
        if self._usual_step and gap > _IDLE * self._usual_step:
            return self._usual_step
        self._usual_step = gap if self._usual_step == 0.0 else 0.9 * self._usual_step + 0.1 * gap
        return gap
