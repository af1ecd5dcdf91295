"""Layers that the answers depend on and that the loss of the answers does not reach: a choice without a gradient cuts it off."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.cut_inside import CUTS, left_whole
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, isolated, preserved_random_state, tensors_of
from nn_inspector.experiments.rewiring import rewire
from nn_inspector.probes import CallMode, LossCall

_NOISE = (0.3, 3.0)
_NOTICEABLE = 1e-4
_MOST_CUTS = 64


@dataclass(frozen=True, slots=True)
class Unreached:
    """What the loss of the answers does not reach.

    Attributes:
        loss: the function that judges the answers.
        names: of parameters that the answers depend on, those of the first layer among them.
    """

    loss: str
    names: list[str]


def unreached(subject: Subject, stepped: Collection[str]) -> Unreached | None:
    """Take the loss function that judges what the model returns by itself; None if it reaches the first layer.

    A layer further on may well learn from something else, as a book of codes does that the gradient passes by. And what is
    detached may be so on purpose, as a head that only looks on: without detach() the loss would reach the first layer then.

    Args:
        subject: training and run.
        stepped: names of parameters that get a gradient of the whole loss and are stepped.
    """
    try:
        runs, batch = subject.anatomy("now").leaves, subject.batches()[0]
        first = next((run.name for run in runs if any(True for _ in run.module.parameters())), None)
        with isolated(subject.training, start=Start()) as copied:
            copied.model.eval()
            found = _unreached(copied, batch, stepped)
            if found is None or all(name.rpartition(".")[0] != first for name in found.names):
                return None
            rewire(copied.model, {(name, turn): left_whole for name in CUTS for turn in range(_MOST_CUTS)})
            call, _ = _judgement(copied, batch)
            whole = call is not None and found.names[0] not in _lost(copied, call, stepped)
    except ExperimentError:
        return None
    return None if whole else found


def _unreached(copied: TrainingCopy, batch: object, stepped: Collection[str]) -> Unreached | None:
    call, before = _judgement(copied, batch)
    if call is None or not call.value.requires_grad:
        return None
    lost = _lost(copied, call, stepped)
    if not lost or len(lost) == sum(p.requires_grad and name in stepped for name, p in copied.model.named_parameters()):
        return None
    needed = any(_changes(copied, batch, list(lost.values()), before, noise) for noise in _NOISE)
    return Unreached(call.name, list(lost)) if needed else None


def _lost(copied: TrainingCopy, call: LossCall, stepped: Collection[str]) -> dict[str, torch.Tensor]:
    """The parameters that a loss has no gradient for."""
    parameters = {name: p for name, p in copied.model.named_parameters() if name in stepped and p.requires_grad}
    if not call.value.requires_grad:
        return dict(parameters)
    gradients = torch.autograd.grad(call.value.sum(), list(parameters.values()), allow_unused=True)
    return {name: p for (name, p), gradient in zip(parameters.items(), gradients, strict=True) if gradient is None}


def _judgement(copied: TrainingCopy, batch: object) -> tuple[LossCall | None, torch.Tensor]:
    """The only call of a loss function on something that the model returned, and what that was."""
    calls: list[LossCall] = []
    returned: list[torch.Tensor] = []
    handle = copied.model.register_forward_hook(lambda *ran: returned.extend(tensors_of(ran[-1])))
    try:
        with preserved_random_state(0), CallMode(calls.append):
            copied.loss(batch)
    finally:
        handle.remove()
    judged = [call for call in calls if any(call.prediction is one for one in returned)]
    if len(judged) != 1 or judged[0].target.requires_grad:
        return None, torch.empty(0)
    return judged[0], judged[0].prediction.detach()


@torch.no_grad()
def _changes(
    copied: TrainingCopy, batch: object, parameters: Sequence[torch.Tensor], before: torch.Tensor, noise: float
) -> bool:
    """Whether the answers change with the parameters."""
    held = [parameter.clone() for parameter in parameters]
    for parameter, value in zip(parameters, held, strict=True):
        spread = float(value.abs().float().std()) if value.numel() > 1 else 0.0
        parameter.add_(torch.randn_like(value), alpha=noise * max(spread, 0.1))
    call, after = _judgement(copied, batch)
    for parameter, value in zip(parameters, held, strict=True):
        parameter.copy_(value)
    return call is not None and after.shape == before.shape and _differs(before, after)


def _differs(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.numel() > 0 and float((after - before).abs().max()) > _NOTICEABLE * (1 + float(before.abs().max()))
