"""Validation data that belong to another task than those of training: a network learns each from its own items alone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import STEPS, failed_validation, left_of
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, batch_size, initial_state, isolated, train

LEARNED = 0.4
"""A copy that learned from other validation data has no more than this left of them, and"""

SHARE = 0.5
"""no more than this share of what the network has left, and one that learned from as many training items."""

FEWEST = 50
"""Validation items to learn from, at least."""

_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Taught:
    """What copies have left to learn of one half of the validation data.

    Attributes:
        network: the network as it is.
        by_training: a copy that learned from training items, as many as the other half has.
        by_validation: a copy that learned from the other half.
        items: of the other half.
    """

    network: float
    by_training: float
    by_validation: float
    items: int


def taught_apart(subject: Subject) -> Taught | None:
    """Train a copy from the first weights on half of the validation data, and one on as many training items.

    Both have the same steps, and are asked about the other half. Where both data are of one kind, the two fare alike.

    Returns:
        None unless the network learned its training data and fails on those of validation, and the copy that learned from
        them does clearly better.
    """
    apart = failed_validation(subject)
    if apart is None or subject.seconds <= 0:
        return None
    begin = time.monotonic()
    try:
        seconds = max(subject.seconds / 6, 0.1)
        ours = BatchSource(subject.training.train_loader, seconds=seconds).mixed(STEPS)
        size = batch_size(ours[0])
        theirs = BatchSource(subject.training.val_loader, seconds=seconds).mixed(2 * STEPS, size=size)
        half = len(theirs) // 2
        if half * size < FEWEST or len(ours) < half:
            return None
        taught, judges = theirs[:half], theirs[half:]
        by_validation = _after_training(subject, taught, judges, until=begin + subject.seconds / 2)
        if by_validation > min(LEARNED, SHARE * apart):
            return None
        by_training = _after_training(subject, ours[:half], judges, until=begin + 0.9 * subject.seconds)
    except ExperimentError:
        return None
    if by_validation > SHARE * by_training:
        return None
    return Taught(apart, by_training, by_validation, half * size)


def _after_training(subject: Subject, batches: Sequence[Any], judges: Sequence[Any], *, until: float) -> float:
    steps = min(STEPS, _ROUNDS * len(batches))
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        losses = train(copied, batches, steps=steps, deadline=until)
        if len(losses) <= steps and math.isfinite(losses[-1]):
            raise ExperimentError("There was too little time for a training on the validation data.")
        return left_of(copied, judges)[1]
