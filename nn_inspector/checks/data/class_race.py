"""Short trainings from the first weights, and which classes are found on the way: for remedies of rare classes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.class_answers import ClassAnswers
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, TrainingCopy, initial_state, isolated, train
from nn_inspector.experiments.entropy_calls import class_weights, yes_weights
from nn_inspector.history import Trial

Look = Callable[[TrainingCopy, Sequence[Any]], ClassAnswers]

_PARTS = 8
"""So often it is looked at what is found by now."""

_LEAST, _MOST = 80, 240


def steps_of(subject: Subject) -> int:
    """Optimizer steps of a short training: as many as the user's own took, within bounds."""
    return min(max(subject.run.steps, _LEAST), _MOST)


def apart(subject: Subject, judged: int) -> tuple[list[Any], list[Any]]:
    """Batches to train on, and others to judge by: `judged` of them, and no more than a third.

    Raises:
        ExperimentError: there is one batch only.
    """
    source = BatchSource(subject.training.train_loader, seconds=max(subject.seconds / 4, 0.1))
    drawn = source.mixed(judged + steps_of(subject))
    cut = min(judged, -(-len(drawn) // 3))
    if cut == len(drawn):
        raise ExperimentError("There is one batch only: nothing is left to judge by.")
    return drawn[cut:], drawn[:cut]


def class_race(
    subject: Subject,
    batches: Sequence[Any],
    judges: Sequence[Any],
    look: Look,
    *,
    until: float,
    weights: torch.Tensor | None = None,
    yes: torch.Tensor | None = None,
) -> list[ClassAnswers]:
    """Answers at the start of a short training and after each of its parts.

    Args:
        subject: training and run.
        batches: used in turn.
        judges: what is asked.
        look: asks it of a copy.
        until: `time.monotonic()` at which it must have ended.
        weights: of the classes in the copy's loss, [classes]; those of the user's loss if None.
        yes: weights of each answer yes in the copy's loss, [tags]; as in the user's loss if None.

    Raises:
        ExperimentError: there was too little time, or no experiment is possible.
    """
    part = max(1, steps_of(subject) // _PARTS)
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        found = [look(copied, judges)]
        for number in range(_PARTS):
            chosen = [batches[(number * part + place) % len(batches)] for place in range(part)]
            with _weighed(copied, weights, yes):
                train(copied, chosen, steps=part, deadline=until)
            if time.monotonic() > until:
                raise ExperimentError(
                    "There was too little time for a training that gives all classes the same weight."
                )
            found.append(look(copied, judges))
    return found


def _weighed(
    copied: TrainingCopy, weights: torch.Tensor | None, yes: torch.Tensor | None
) -> contextlib.AbstractContextManager[None]:
    if yes is not None:
        return yes_weights(copied, yes)
    return contextlib.nullcontext() if weights is None else class_weights(copied, weights)


def class_trial(
    subject: Subject,
    plain: Sequence[ClassAnswers],
    treated: Sequence[ClassAnswers],
    lost: Callable[[ClassAnswers], float],
    *,
    measure: str,
    helped: bool,
) -> Trial:
    """Two class races beside each other, in one number: what is lost of the classes, from 0 to 1.

    Args:
        subject: whose training it is.
        plain: the race as things are.
        treated: the race with the remedy.
        lost: the number, of the answers at one time.
        measure: what it is, in words.
        helped: whether the remedy did.
    """
    every = max(1, steps_of(subject) // _PARTS)
    return Trial(
        [lost(one) for one in plain], [lost(one) for one in treated], helped=helped, measure=measure, every=every
    )
