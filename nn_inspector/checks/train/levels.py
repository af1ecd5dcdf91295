"""What a loss can be compared with: a prediction that knows nothing, and the least that is possible."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from nn_inspector.checks.base import Subject
from nn_inspector.checks.init.chance import chance_level
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, initial_state, isolated, lowest_loss
from nn_inspector.probes import CallMode, LossCall

_BATCHES = 8
_NEARLY_CONSTANT = 0.02
_MOST_NUMBERS = 20_000
_WITH_CLASSES = ("cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits")


@dataclass(frozen=True, slots=True)
class LossLevels:
    """Levels of a loss.

    Attributes:
        chance: what the better of two constant predictions scores, see `chance_level`.
        floor: the least possible on these targets, above 0 with label smoothing or soft targets.
        kind: whether classes or numbers are predicted.
        name: name of the loss function in torch.nn.functional.
    """

    chance: float
    floor: float
    kind: str
    name: str

    def progress(self, loss: float) -> float:
        """How far a loss has come from chance (0) to the least possible (1); below 0 if it is worse than chance.

        Example:
            >>> LossLevels(2.0, 0.0, "classes", "cross_entropy").progress(0.5)
            0.75
        """
        way = self.chance - self.floor
        return (self.chance - loss) / way if way > 0 and math.isfinite(loss) else -math.inf


def loss_levels(subject: Subject) -> LossLevels | None:
    """The levels of this training's loss, or None where they cannot be known: made once for all checks."""
    try:
        levels: LossLevels = subject.once(("loss levels",), lambda: _measure(subject))
    except ExperimentError:
        return None
    return levels


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a model does on a batch, in evaluation mode.

    Attributes:
        loss: what the only loss function of torch's says; the whole loss where there are several or none. A penalty that is
            added to the loss is no part of it, so that trainings with and without can be compared.
        right: share of the items whose class is predicted; None where no classes are.
    """

    loss: float
    right: float | None


def judge(copied: TrainingCopy, batch: object) -> Judgement:
    """How a copy does on a batch."""
    calls: list[LossCall] = []
    copied.model.eval()
    try:
        with torch.no_grad(), CallMode(calls.append):
            loss = copied.loss(batch)
    finally:
        copied.train_mode()
    if len(calls) != 1:
        return Judgement(float(loss), None)
    return Judgement(float(calls[0].value.detach().mean()), share_right(calls[0]))


def judged_loss(copied: TrainingCopy, batch: object) -> float:
    """The loss of `judge`."""
    return judge(copied, batch).loss


def share_right(call: LossCall) -> float | None:
    """Share of the items whose class a loss function was given the largest score for; None if it is not about classes."""
    prediction, target = call.prediction, call.target
    if call.name in ("cross_entropy", "nll_loss") and prediction.dim() > 1:
        chosen = prediction.argmax(1)
        label = target.argmax(1) if target.is_floating_point() else target
        counted = label != call.options.get("ignore_index", -100)
        return float((chosen == label)[counted].float().mean())
    single = prediction.dim() == 1 or prediction.shape[1:].numel() == 1
    if call.name.startswith("binary_cross_entropy") and single and prediction.shape == target.shape:
        half = 0.0 if call.name.endswith("logits") else 0.5
        return float(((prediction > half) == (target > 0.5)).float().mean())
    return None


def pooled(calls: Sequence[LossCall]) -> LossCall:
    """The calls on several batches as one call on all of their items; the first one where they do not fit together."""
    first = calls[0]
    alike = all(
        call.prediction.dim()
        and call.target.dim()
        and call.prediction.shape[1:] == first.prediction.shape[1:]
        and call.target.shape[1:] == first.target.shape[1:]
        for call in calls
    )
    if len(calls) == 1 or not alike:
        return first
    prediction = torch.cat([call.prediction.detach() for call in calls])
    target = torch.cat([call.target.detach() for call in calls])
    return replace(first, prediction=prediction, target=target)


def _measure(subject: Subject) -> LossLevels:
    if subject.seconds <= 0:
        raise ExperimentError("There is no time left for an experiment.")
    calls: list[LossCall] = []
    batches = subject.batches(_BATCHES)
    with isolated(subject.training, start=_start(subject)) as copied:
        for batch in batches:
            before = len(calls)
            with torch.no_grad(), CallMode(calls.append):
                copied.loss(batch)
            if len(calls) != before + 1 or calls[-1].options.get("reduction", "mean") == "none":
                raise ExperimentError("The loss is not what one loss function of torch's returned.")
    scale = _summed(calls[0])
    call = pooled([replace(call, options={**call.options, "reduction": "mean"}) for call in calls])
    chance = None
    with contextlib.suppress(Exception):  # a loss that was given something odd
        chance = chance_level(call)
    if chance is None or not math.isfinite(chance.low):
        raise ExperimentError(f"What chance gives is not known for {call.name}.")
    if chance.low <= _NEARLY_CONSTANT * chance.high:
        raise ExperimentError("The targets are nearly constant: a prediction that knows nothing is right already.")
    floor = _floor(call, chance.low)
    return LossLevels(scale * chance.low, scale * floor, chance.kind, call.name)


def _summed(call: LossCall) -> float:
    """How many numbers a loss that sums adds up; 1 where it takes a mean."""
    if call.options.get("reduction") != "sum":
        return 1.0
    mean = getattr(F, call.name)(call.prediction, call.target, **{**call.options, "reduction": "mean"})
    return float(call.value.detach() / mean) if mean else 1.0


def _floor(call: LossCall, chance: float) -> float:
    """0 where a prediction can be quite right; else the least loss over the predictions, found with a part of the items."""
    soft = call.target.is_floating_point() and not bool(((call.target == 0) | (call.target == 1)).all())
    if call.name not in _WITH_CLASSES or not (soft or call.options.get("label_smoothing")):
        return 0.0
    items = max(1, _MOST_NUMBERS * len(call.prediction) // call.prediction.numel())
    part = replace(call, prediction=call.prediction[:items], target=call.target[:items], value=torch.tensor(chance))
    return min(lowest_loss(part), chance)


def _start(subject: Subject) -> Start:
    try:
        return initial_state(subject.training, subject.run)
    except ExperimentError:
        return Start()
