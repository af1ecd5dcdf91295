"""A number that belongs to one output of an item, and is asked of all of them: the reward of an action, the score of a choice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import BADLY
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, initial_state, isolated, tensors_of, train
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.history import Trial
from nn_inspector.probes import LossCall, first_tensor

_NUMBERS = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
_MOST_OUTPUTS = 64
_LOOKED_AT = 3
_PARTS, _LEAST, _MOST = 6, 90, 240
_HELPED = 0.5


@dataclass(frozen=True, slots=True)
class OneForAll:
    """What was seen and tried.

    Attributes:
        outputs: of each item.
        without, treated: the share of the spread of the numbers that is left to learn of the chosen outputs, after a short
            training that asks all outputs, and after one that asks the chosen one alone.
        trial: both on the way.
    """

    outputs: int
    without: float
    treated: float
    trial: Trial


def one_for_all(subject: Subject) -> OneForAll | None:
    """Look whether all outputs of an item have the same target, and whether the batch says which of them it is for.

    Several networks in one, whose outputs all learn the same, have no such choice in their batches.

    Returns:
        None unless a part of the batches is a choice among the outputs that the training makes no use of, and the chosen
        outputs alone learn far more.
    """
    if subject.seconds <= 0:
        return None
    try:
        batches = subject.batches()
        start = initial_state(subject.training, subject.run)
        with isolated(subject.training, start=start) as copied:
            part = _choice(copied, batches)
            if part is None:
                return None
            outputs = _call(copied, batches[0]).prediction.shape[1]
        until = time.monotonic() + subject.seconds / 3
        without = _left(subject, batches, part, chosen_alone=False, until=until)
        treated = _left(subject, batches, part, chosen_alone=True, until=until + subject.seconds / 3)
    except ExperimentError:
        return None
    helped = without[-1] > BADLY and treated[-1] <= _HELPED * without[-1]
    if not helped:
        return None
    every = _steps(subject) // _PARTS
    trial = Trial(without, treated, helped=True, measure="share left to learn of the chosen outputs", every=every)
    return OneForAll(outputs, without[-1], treated[-1], trial)


def _call(copied: TrainingCopy, batch: Any) -> LossCall:
    """The one call of a loss function whose targets are the same for all outputs of an item.

    Raises:
        ExperimentError: there is none.
    """
    calls = one_pass(copied, batch).calls
    if len(calls) == 1 and calls[0].name in _NUMBERS:
        prediction, target = calls[0].prediction, calls[0].target
        wide = prediction.dim() == 2 and 1 < prediction.shape[1] <= _MOST_OUTPUTS and target.shape == prediction.shape
        if wide and bool((target == target[:, :1]).all()) and bool((target[:, 0] != target[0, 0]).any()):
            return calls[0]
    raise ExperimentError("The outputs of an item have targets of their own.")


def _choice(copied: TrainingCopy, batches: Sequence[Any]) -> int | None:
    """Which tensor of the batches chooses one of the outputs and is not used."""
    common: set[int] | None = None
    for batch in batches[:_LOOKED_AT]:
        seen = one_pass(copied, batch)
        outputs = _call(copied, batch).prediction.shape[1]
        used = [one for inputs in seen.inputs for one in inputs]
        fitting = {
            place
            for place, part in enumerate(tensors_of(batch))
            if _chooses(part, outputs) and not any(_same(part, one) for one in used)
        }
        common = fitting if common is None else common & fitting
    return min(common) if common else None


def _chooses(part: torch.Tensor, outputs: int) -> bool:
    whole = not part.is_floating_point() and not part.is_complex() and part.dtype is not torch.bool
    single = part.dim() == 1 or (part.dim() == 2 and part.shape[1] == 1)
    if not whole or not single or not part.numel():
        return False
    values = part.flatten().unique()
    return len(values) > 1 and int(values[0]) >= 0 and int(values[-1]) < outputs


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.to(other), other)


def _left(subject: Subject, batches: Sequence[Any], part: int, *, chosen_alone: bool, until: float) -> list[float]:
    """What is left to learn of the chosen outputs, at the start and after each part of a short training."""
    every = _steps(subject) // _PARTS
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        left = [_unlearned(copied, batches, part)]
        for number in range(_PARTS):
            if chosen_alone:
                copied.instead = lambda batch: _of_chosen(copied, batch, part)
            drawn = [batches[(number * every + place) % len(batches)] for place in range(every)]
            train(copied, drawn, steps=every, deadline=until)
            copied.instead = None
            if time.monotonic() > until:
                raise ExperimentError("There was too little time for a training of the chosen outputs alone.")
            left.append(_unlearned(copied, batches, part))
    return left


def _steps(subject: Subject) -> int:
    return min(max(subject.run.steps, _LEAST), _MOST)


def _of_chosen(copied: TrainingCopy, batch: Any, part: int) -> torch.Tensor:
    """The mean square of what the chosen outputs of a batch on the model's device lack."""
    copied.instead = None
    wanted = _call(copied, batch).target[:, 0].detach()
    copied.instead = lambda other: _of_chosen(copied, other, part)
    output = first_tensor(copied.training.output(copied.model, batch))
    if output is None or output.shape[:1] != wanted.shape or output.dim() != 2:
        raise ExperimentError("The model returns something else than the loss is computed of.")
    index = list(tensors_of(batch))[part].reshape(-1, 1).long()
    return (output.gather(1, index)[:, 0] - wanted).square().mean()


@torch.no_grad()
def _unlearned(copied: TrainingCopy, batches: Sequence[Any], part: int) -> float:
    lacking, wanted = [], []
    for batch in batches:
        call = _call(copied, batch)
        index = list(tensors_of(batch))[part].reshape(-1, 1).long().to(call.prediction.device)
        lacking.append(call.prediction.gather(1, index)[:, 0] - call.target[:, 0])
        wanted.append(call.target[:, 0])
    spread = float(torch.cat(wanted).var())
    return float(torch.cat(lacking).square().mean()) / spread if spread else 0.0
