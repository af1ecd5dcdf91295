"""A frozen body that nobody has ever trained: what the task is worth if it may learn, too."""

from __future__ import annotations

from collections.abc import Sequence

from nn_inspector.checks.base import Subject
from nn_inspector.checks.model.fresh import looks_fresh
from nn_inspector.checks.model.giving import give
from nn_inspector.checks.race import WELL, Race, race
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import initial_state, isolated, take_apart


def freed(subject: Subject, names: Sequence[str]) -> Race | None:
    """A copy that learns frozen parameters as well, beside one that does not and the user's own training.

    Args:
        subject: training and run.
        names: of the frozen parameters.

    Returns:
        None unless they look as if they had just been made, and the copy gets much further with the same targets: where it
        does well.
    """
    if subject.seconds <= 0 or not looks_fresh(subject.training.model, subject.training.initial or {}, names):
        return None
    tried = race(subject, lambda copied: give(copied, names))
    if tried is None or tried.severity == "info" or tried.treated[-1] > WELL[tried.kind]:
        return None
    return None if _teach(subject, names) else tried


def _teach(subject: Subject, names: Sequence[str]) -> bool:
    """Whether the targets are made with these parameters: they would be learned away."""
    try:
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            give(copied, names)
            seen = take_apart(copied, subject.batches()[0], backward=False)
    except ExperimentError:
        return True
    return any(call.target is not None and call.target.requires_grad for call in seen.loss_calls)
