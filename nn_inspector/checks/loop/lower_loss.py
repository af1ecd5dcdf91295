"""A remedy that leaves the loss what it is, and lets it fall far lower: for where nothing else is known of the answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.checks.base import Subject, try_out
from nn_inspector.checks.race import Change
from nn_inspector.experiments import Arm, BatchSource
from nn_inspector.history import Trial

LOWER = 0.5
"""With the remedy, the same loss has to come down to this share of where it ends without."""

_STEPS = 400
_FEWEST = 40
_LAST = 9


def far_lower_with(subject: Subject, change: Change) -> Trial | None:
    """Train copies from the first weights, for as many steps as the run had, 400 at most.

    Args:
        subject: training and run.
        change: makes the remedy on a copy. What the loss is made of must stay the same.

    Returns:
        None unless the loss falls far lower with the remedy.
    """
    steps = min(max(subject.run.steps, _FEWEST), _STEPS)

    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(steps)
        return Arm(batches, judge), Arm(batches, judge, change)

    trial = try_out(subject, arms, steps=steps)
    if trial is None:
        return None
    ends = [float(np.median(curve[-_LAST:])) for curve in (trial.without, trial.treated)]
    return replace(trial, helped=True) if 0 < ends[1] <= LOWER * ends[0] else None
