"""Another way to judge a network against the user's own: does a copy learn more by it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from nn_inspector.checks.base import Subject, try_out
from nn_inspector.checks.judging.path import Operation
from nn_inspector.checks.judging.place import Place
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.race import BADLY, STEPS, WELL, Own, Race, left_now, race
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import Arm, BatchSource, TrainingCopy
from nn_inspector.history import SEVERITIES, Severity, Trial
from nn_inspector.probes import first_tensor

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of what the model returns and the last part of the batch."""

WORTH = 9.0
"""Seconds that a contest may take at least, where experiments are allowed: it is only made of what looks wrong already."""

_FEWEST = 60


@dataclass(frozen=True, slots=True)
class Contest:
    """What became of another way to judge.

    Attributes:
        race: how far a copy came by it; None if that was not tried.
        left: what the user's training has still to learn, None if that is not known or it has not begun.
        well: whether that is little enough.
    """

    race: Race | None
    left: float | None
    well: bool

    @property
    def badly(self) -> bool:
        """Whether the user's training is known to have missed much of the task."""
        return self.left is not None and self.left > BADLY

    def severity(self, *, without_proof: Severity) -> Severity:
        """How bad the user's way is: what the race says, and never more than "info" if the training did well.

        Args:
            without_proof: how bad it is at least.
        """
        if self.well:
            return "info"
        proven = self.race.severity if self.race is not None else "info"
        return min(proven, without_proof, key=SEVERITIES.index)

    @property
    def text(self) -> str:
        """The race in one sentence, with a space before it; empty if it showed nothing."""
        return f" {self.race.text}" if self.race is not None and self.race.severity != "info" else ""


def contest(subject: Subject, seen: Judged, place: Place | None, loss: Loss | None) -> Contest:
    """Train a copy by another loss.

    Args:
        subject: training and run.
        seen: how the user judges.
        place: of the operation that is left out of the copy, if any is.
        loss: judges the copy; the user's own loss without what the loop does before it if None.
    """
    if subject.seconds > 0:
        subject = replace(subject, seconds=max(subject.seconds, WORTH))
    own = own_way(subject, seen, loss)
    try:
        kind, left = left_now(subject, own)
    except InspectorError:
        return Contest(None, None, well=False)
    if left is not None and left <= WELL[kind]:
        return Contest(None, left, well=True)
    if subject.training.step is not None and loss is not None:
        return Contest(None, left, well=False)

    def change(copied: TrainingCopy) -> None:
        if place is not None:
            place.leave_out(copied)
        if loss is not None:
            copied.loss_fn = _on_first(loss)

    found = race(subject, change, own=own)
    return Contest(found if found is None or found.kind == kind else None, left, well=False)


def lower_loss(subject: Subject, seen: Judged, place: Place | None, loss: Loss) -> Trial | None:
    """A trial that shows a much lower loss without an operation, for trainings that found the right answers with it.

    Returns:
        None if there is no such gain, or it cannot be tried.
    """
    own = own_way(subject, seen, loss)
    if not own.repeated or subject.training.step is not None:
        return None

    def change(copied: TrainingCopy) -> None:
        if place is not None:
            place.leave_out(copied)
        copied.loss_fn = _on_first(loss)

    steps = min(max(subject.run.steps, _FEWEST), STEPS)

    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(steps)
        return Arm(batches, judge, own.change), Arm(batches, judge, change)

    trial = try_out(subject, arms, steps=steps)
    return trial if trial is not None and trial.helped else None


def own_way(subject: Subject, seen: Judged, instead: Loss | None = None) -> Own:
    """How a copy is trained as the loop trains, as far as that is known.

    Nothing is to be done where `step` says it, or where the loop's way to its loss was seen well enough to be repeated. Else
    a loss function that was given is called on what the loop makes of the model's output: a softmax or sigmoid there is
    repeated. One of torch's that was not given is called as the trace has it.

    Args:
        subject: training and run.
        seen: how the user judges.
        instead: a loss that says what is asked, where the user's own cannot be repeated.
    """
    made: Own = subject.once(("own way", instead is None), lambda: _own_way(subject, seen, instead))
    return made


def _own_way(subject: Subject, seen: Judged, instead: Loss | None) -> Own:
    training = subject.training
    if training.step is not None or training.tape is not None:
        return Own()
    in_loop = _in_loop(seen)
    if training.loss_fn is None:
        try:
            subject.anatomy()
        except InspectorError:
            again = _as_traced(seen, in_loop)
            if again is not None:
                return Own(_judging_by(again))
            return Own(_judging_by(instead), repeated=False) if instead is not None else Own()
        return Own()
    try:
        done = {call.name for call in subject.anatomy().calls if call.module is None}
    except InspectorError:
        done = set()
    missing = [one for one in in_loop if one.name not in done]
    if not missing:
        return Own()
    given: Any = training.loss_fn
    return Own(_judging_by(lambda output, target: given(_fitting(_apply(missing, output), target), target)))


def _in_loop(seen: Judged) -> list[Operation]:
    """The operations on the way that the loop makes, the first one first."""
    called = {str(fact["name"]).rstrip("_") for fact in seen.functions if "prediction" in "+".join(fact["of"])}
    known = [one for one in seen.path if one.name in _REPEATED]
    return [one for one in reversed(known) if one.name in called]


_REPEATED: dict[str, Callable[[torch.Tensor, Operation], torch.Tensor]] = {
    "softmax": lambda values, one: values.softmax(_axis(values, one)),
    "log_softmax": lambda values, one: values.log_softmax(_axis(values, one)),
    "sigmoid": lambda values, _: values.sigmoid(),
    "tanh": lambda values, _: values.tanh(),
    "relu": lambda values, _: values.relu(),
}


def _axis(values: torch.Tensor, one: Operation) -> int:
    return one.axis if one.axis is not None and one.axis < values.dim() else -1


def _apply(made: Sequence[Operation], values: torch.Tensor) -> torch.Tensor:
    for one in made:
        values = _REPEATED[one.name](values, one)
    return values


def _as_traced(seen: Judged, in_loop: Sequence[Operation]) -> Loss | None:
    """The loss function that the loop calls, if it is called on the model's output and the batch's target as they are."""
    if (
        not seen.loss
        or seen.targets is None
        or seen.targets.values is None
        or "clamp" in [one.name for one in seen.path]
    ):
        return None
    options = {
        name: value
        for name, value in (seen.options or {}).items()
        if name in ("reduction", "label_smoothing", "ignore_index")
    }
    function = getattr(F, seen.loss)
    if (seen.options or {}).get("weighted"):
        return None

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        values = _fitting(_apply(in_loop, output), target)
        if seen.judge not in ("scores", "log probabilities"):
            target = target.to(values.dtype)
        value: torch.Tensor = function(values, target, **options)
        return value

    return loss


def _fitting(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Scores of one column in the shape of the targets."""
    single = values.numel() == target.numel() and values.shape != target.shape
    return values.reshape(target.shape) if single else values


def _judging_by(loss: Loss) -> Callable[[TrainingCopy], None]:
    def change(copied: TrainingCopy) -> None:
        copied.loss_fn = _on_first(loss)

    return change


def _on_first(loss: Loss) -> Callable[[Any, Any], torch.Tensor]:
    def judge(output: Any, target: Any) -> torch.Tensor:
        first = first_tensor(output)
        assert first is not None, "a model that is judged returns a tensor"
        return loss(first, target)

    return judge
