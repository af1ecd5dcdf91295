"""Few steps, because each pass over the data is left early."""

from __future__ import annotations

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.never_seen import NeverSeen, left_early

SHORT = 300
"""A training of no more steps than these is a short one."""


def passes_cut_short(subject: Subject) -> NeverSeen | None:
    """What is taken of each pass of a short training, where all are left after the same few batches; None if they are not."""
    if subject.run.steps > SHORT:
        return None
    return left_early(subject.training.train_loader, subject.run.epochs("train"))
