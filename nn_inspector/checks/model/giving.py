"""Copies whose optimizer steps more than the user's does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from nn_inspector.beginning import unregistered
from nn_inspector.checks.base import Subject, try_out
from nn_inspector.checks.model.wiring import parameters_of
from nn_inspector.experiments import Arm, BatchSource, TrainingCopy
from nn_inspector.history import Trial

_STEPS = 60


def give(copied: TrainingCopy, names: Sequence[str]) -> None:
    """Let a copy's optimizer step these parameters as well, frozen ones too."""
    parameters = dict(copied.model.named_parameters())
    _give(copied, [parameters[name].requires_grad_() for name in names if name in parameters])


def try_stepped(subject: Subject, names: Sequence[str]) -> Trial | None:
    """Train with these parameters as well, beside the training as it is."""
    return _try(subject, lambda copied: give(copied, names))


def try_hidden(subject: Subject, places: Sequence[str]) -> Trial | None:
    """The same for parameters that the model holds but does not know, by place: see `beginning.unregistered`."""

    def give_hidden(copied: TrainingCopy) -> None:
        hidden = unregistered(copied.model)
        _give(copied, [hidden[place] for place in places if place in hidden])

    return _try(subject, give_hidden)


def _try(subject: Subject, change: Callable[[TrainingCopy], None]) -> Trial | None:
    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_STEPS)
        return Arm(batches, judge), Arm(batches, judge, change=change)

    return try_out(subject, arms, steps=_STEPS)


def _give(copied: TrainingCopy, parameters: Sequence[torch.Tensor]) -> None:
    """To the first group of the optimizer that holds most."""
    largest = max(copied.optimizers, key=lambda one: len(parameters_of(one)))
    held = {id(p) for one in copied.optimizers for p in parameters_of(one)}
    largest.param_groups[0]["params"].extend([p for p in parameters if id(p) not in held])
