"""Where a network learns nothing at any rate, a few items tell whether its own is too high: by heart they are learned in no time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.fit.by_heart import Fit, learn_by_heart
from nn_inspector.checks.train.laps import Change
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, TrainingCopy, batch_size, distinct_items, initial_state

ITEMS = 16
STEPS = 400

FACTORS = (0.1, 0.01)
"""What the rate is multiplied with, in this order."""

_HARDLY = 0.7
"""With more than this share left of the way down, the items were not learned."""

_FOR_OWN = 0.6
"""Of the time the user's own rate has this share."""

_TIMES_AS_MANY = 4
"""The user's own rate must have had so many times the steps."""


@dataclass(frozen=True, slots=True)
class FewItems:
    """A few items that a lower rate learns by heart, and the user's own does not.

    Attributes:
        items: how many.
        factor: what the rates are multiplied with.
        own, lower: how it went.
    """

    items: int
    factor: float
    own: Fit
    lower: Fit


def at_a_lower_rate(subject: Subject, seconds: float) -> FewItems | None:
    """Whether the first weights learn a few items by heart, but only at a lower rate; None if not, or if it cannot be tried."""
    try:
        start = initial_state(subject.training, subject.run)
        batch = distinct_items(BatchSource(subject.training.data).mixed(1, size=8 * ITEMS)[0], ITEMS)
        deadline = time.monotonic() + seconds
        own = learn_by_heart(subject, start, batch, STEPS, seconds=seconds * _FOR_OWN)
        if not own.floor_is_known or own.left <= _HARDLY:
            return None
        for factor in FACTORS:
            lower = learn_by_heart(
                subject, start, batch, STEPS, seconds=deadline - time.monotonic(), change=times(factor)
            )
            if lower.learned and (own.steps >= _TIMES_AS_MANY * lower.steps or not math.isfinite(own.end)):
                return FewItems(batch_size(batch), factor, own, lower)
    except ExperimentError:
        pass
    return None


def times(factor: float) -> Change:
    """Multiplies all learning rates of a copy."""

    def change(copied: TrainingCopy) -> None:
        for optimizer in copied.optimizers:
            for group in optimizer.param_groups:
                if group.get("lr") is not None:
                    group["lr"] = group["lr"] * factor

    return change
