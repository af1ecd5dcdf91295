"""The course of a training as its loss tells it: shared by the checks that only look."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.levels import LossLevels, loss_levels
from nn_inspector.checks.train.standing import single_pass, takes_turns
from nn_inspector.checks.train.traced_levels import traced_levels
from nn_inspector.errors import InspectorError
from nn_inspector.history import Chart, Evidence, Finding, Run, curve

ENOUGH_STEPS = 50
"""Fewer steps say nothing yet."""

MANY_STEPS = 500
"""From here on the first epoch need not be complete."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the loss went.

    Attributes:
        curve: the losses.
        levels: what they can be compared with, or None.
    """

    curve: LossCurve
    levels: LossLevels | None

    @property
    def end(self) -> float:
        """How far it came from chance (0) to the least possible loss (1) at its end; NaN if that is not known."""
        return self.progress(self.curve.end)

    @property
    def best(self) -> float:
        """The same at its best."""
        return self.progress(self.curve.best)

    def progress(self, loss: float) -> float:
        """How far a loss has come; NaN if that is not known."""
        return self.levels.progress(loss) if self.levels is not None else math.nan

    def evidence(self) -> Evidence:
        """The smoothed loss, and what chance gives."""
        chance = {"chance": self.levels.chance} if self.levels is not None else {}
        return {"loss": self.curve.smooth.tolist(), "steps": float(self.curve.total), **chance}


def course_of(subject: Subject, *, least: int = ENOUGH_STEPS) -> Course:
    """The course of this training.

    Args:
        subject: training and run.
        least: how many losses are needed.

    Raises:
        InspectorError: there is too little of it, or its loss need not fall as it learns.
    """
    run = subject.run
    seen = LossCurve.of(run)
    subject.require_steps()
    if not seen.total:
        raise InspectorError("No loss was seen. Pass loss_fn=... to watch(), or log it with inspector.log(loss=...).")
    if seen.total < least and not seen.lost:
        raise InspectorError(f"Only {seen.total} losses were seen, which says nothing yet; {least} are needed.")
    epochs = run.epochs("train")
    if epochs and epochs[0].batches and not epochs[0].complete and seen.total < MANY_STEPS and not seen.lost:
        raise InspectorError("The first epoch is not complete, which says nothing yet.")
    require_one_goal(subject)
    return Course(seen, _levels(subject))


def _levels(subject: Subject) -> LossLevels | None:
    """As an experiment tells them, else as the trace does; the higher chance of both where targets are numbers."""
    proven, traced = loss_levels(subject), traced_levels(subject.run) if single_pass(subject.run) else None
    if proven is None or traced is None or proven.kind != "numbers" or not traced.chance > proven.chance:
        return proven or traced
    return traced


def levelled(course: Course) -> LossLevels:
    """Its levels.

    Raises:
        InspectorError: they are not known.
    """
    if course.levels is None:
        raise InspectorError(
            "It is not known what chance would give for this loss, so that it cannot be judged by its value."
        )
    return course.levels


def require_one_goal(subject: Subject) -> None:
    """Raise unless there is one loss and one optimizer, as far as can be told.

    Raises:
        InspectorError: several work against each other, perhaps.
    """
    if len(subject.training.optimizers) > 1:
        raise InspectorError("There are several optimizers, and their losses may work against each other.")
    if takes_turns(subject.run):
        raise InspectorError("Several losses take turns in one step, and may work against each other.")


def has_one_pass(run: Run) -> bool:
    """Whether the model is called once a step: where it is called more often, losses may pull at it from two sides."""
    return single_pass(run)


def course_chart(result: Finding) -> Chart | None:
    """The smoothed loss, with what chance gives."""
    losses, steps, chance = (result.evidence.get(name) for name in ("loss", "steps", "chance"))
    if not isinstance(losses, list) or not isinstance(steps, float):
        return None
    levels = {"chance": chance} if isinstance(chance, float) else {}
    drawn = curve(losses, every=max(1, round(steps / max(1, len(losses)))))
    return Chart("lines", "step", "loss", {"loss": drawn}, levels=levels)
