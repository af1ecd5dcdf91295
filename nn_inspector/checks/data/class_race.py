"""Short trainings from the first weights, and which classes are found on the way: for remedies of rare classes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.class_answers import FOUND, GAIN, LOST, ClassAnswers
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, TrainingCopy, initial_state, isolated, train
from nn_inspector.experiments.entropy_calls import class_weights, yes_weights
from nn_inspector.history import Trial

Look = Callable[[TrainingCopy, Sequence[Any]], ClassAnswers]

_PARTS = 8
"""So often it is looked at what is found by now."""

_LEAST, _MOST = 80, 240


@dataclass(frozen=True, slots=True)
class Rare:
    """Rare classes, and how it is judged whether a network finds them.

    Attributes:
        classes: the rare ones.
        now: what the network, as it is now, says.
        look: asks a copy.
        judges: what is asked.
        score: one number of answers, larger is better, that does not gain if the rare classes are said all the time.
        gain: by so much more a copy has to be better in that.
    """

    classes: Sequence[int]
    now: ClassAnswers
    look: Look
    judges: Sequence[Any]
    score: Callable[[ClassAnswers], float]
    gain: float = GAIN

    @property
    def found(self) -> float:
        """Share of the items of rare classes that the network finds."""
        return self.now.found(self.classes)

    def race(
        self,
        subject: Subject,
        pool: Sequence[Any],
        *,
        balanced: Sequence[Any] | None = None,
        weights: torch.Tensor | None = None,
        yes: torch.Tensor | None = None,
    ) -> RareRace:
        """Short trainings on `pool`, and with a remedy: on batches that are balanced, or with weights, see `class_race`."""
        begin, third = time.monotonic(), subject.seconds / 3
        treated = pool if balanced is None else balanced
        return RareRace(
            self,
            class_race(subject, pool, self.judges, self.look, until=begin + third),
            class_race(subject, treated, self.judges, self.look, until=begin + 2 * third, weights=weights, yes=yes),
            max(1, steps_of(subject) // _PARTS),
        )


@dataclass(frozen=True, slots=True)
class RareRace:
    """What is found of rare classes by copies.

    Attributes:
        asked: what the classes are.
        plain, treated: answers of the copy without and with the remedy, at the start and after each of the parts.
        every: how many steps a part has.
    """

    asked: Rare
    plain: Sequence[ClassAnswers]
    treated: Sequence[ClassAnswers]
    every: int

    @property
    def found(self) -> float:
        """Share of the items of rare classes that the copy with the remedy finds."""
        return self.treated[-1].found(self.asked.classes)

    @property
    def found_without(self) -> float:
        """Share that the copy without it finds."""
        return self.plain[-1].found(self.asked.classes)

    @property
    def score(self) -> float:
        """Of the copy with the remedy."""
        return self.asked.score(self.treated[-1])

    @property
    def helped(self) -> bool:
        """Whether only the copy with the remedy finds enough of them, and is better than the network and the other copy."""
        best = max(self.asked.score(self.asked.now), self.asked.score(self.plain[-1]))
        return self.found >= FOUND and self.found_without <= LOST and self.score >= best + self.asked.gain

    def trial(self, measure: str) -> Trial:
        """Both curves of what is missing to a full score.

        Args:
            measure: what that is, in words.
        """
        plain, treated = ([1 - self.asked.score(one) for one in arm] for arm in (self.plain, self.treated))
        return Trial(plain, treated, helped=self.helped, measure=measure, every=self.every)


def surely(look: Callable[[TrainingCopy, Sequence[Any]], ClassAnswers | None]) -> Look:
    """Of a look that says None where the loss is another one, one that raises `ExperimentError` then."""

    def sure(copied: TrainingCopy, judges: Sequence[Any]) -> ClassAnswers:
        found = look(copied, judges)
        if found is None:
            raise ExperimentError("The loss is now another one than before.")
        return found

    return sure


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
