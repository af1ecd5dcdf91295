"""Validation data whose inputs mean something else than those of training: another vocabulary, other codes, another order of columns."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.pairing import FEWEST, Pairs, fit
from nn_inspector.checks.items_seen import look_at_items
from nn_inspector.checks.race import failed_validation
from nn_inspector.errors import ExperimentError

LEARNED = 0.2
"""Share of the variance of the labels that a simple model explains where it is said to learn them."""

CARRIED = 0.25
"""Where it carries over at all, so little of what a simple model explains within each: some inputs still mean the same."""


@dataclass(frozen=True, slots=True)
class OtherMeaning:
    """What a simple model explains of labels that it has not seen.

    Attributes:
        training, validation: learned from other items of the same data.
        across: learned from the training data and asked of the validation data.
    """

    training: float
    validation: float
    across: float


def other_meaning(subject: Subject) -> OtherMeaning | None:
    """Learn the labels in both data, and across them.

    Returns:
        None unless each can be learned, what was learned does not carry over, and the network fares likewise.
    """
    if failed_validation(subject) is None:
        return None
    with contextlib.suppress(ExperimentError):
        training, validation = subject.training.train_loader, subject.training.val_loader
        ours, theirs = (Pairs.of(look_at_items(subject, one, every_feature=True)) for one in (training, validation))
        if min(len(ours.features), len(theirs.features)) < FEWEST or ours.features.shape[1] != theirs.features.shape[1]:
            return None
        here, there, across = fit(ours), fit(theirs), fit(ours, theirs)
        within = min(here.explained, there.explained)
        lost = not across.clear or across.explained < CARRIED * within
        if here.clear and there.clear and lost and within >= LEARNED:
            return OtherMeaning(here.explained, there.explained, across.explained)
    return None
