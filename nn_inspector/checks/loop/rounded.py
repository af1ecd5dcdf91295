"""Steps that are lost because the numbers of the weights are too coarse for them: bfloat16 has two or three digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from nn_inspector.checks.base import Subject
from nn_inspector.checks.model.wiring import parameters_of
from nn_inspector.checks.race import BADLY, FEWEST, known_left
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, initial_state, isolated, train

COARSE = (torch.bfloat16, torch.float16)
MUCH = 0.4
"""Share of the numbers that a step should have changed, and did not, at the beginning and now."""

_STEPS = 3


@dataclass(slots=True)
class Rounded:
    """What became of the numbers of coarse weights that got a gradient, in a few steps on a copy.

    Attributes:
        dtype: of the weights.
        numbers: how many of them were stepped, each step counted.
        kept: how many of those are what they were before.
    """

    dtype: torch.dtype
    numbers: int = 0
    kept: int = 0

    @property
    def share(self) -> float:
        """How much of the steps is lost, from 0 to 1."""
        return self.kept / max(self.numbers, 1)


def rounded_away(subject: Subject) -> Rounded | None:
    """What is lost of the steps of weights in a coarse format; None if that is little, or the training does not do badly."""
    held = [parameter for optimizer in subject.training.optimizers for parameter in parameters_of(optimizer)]
    coarse = next((parameter.dtype for parameter in held if parameter.dtype in COARSE), None)
    if coarse is None or subject.seconds <= 0 or subject.run.steps < FEWEST:
        return None
    if (known_left(subject) or 0.0) <= BADLY:
        return None
    first, now = initial_state(subject.training, subject.run), Start()
    try:
        found = min((_steps_from(subject, start, coarse) for start in (first, now)), key=lambda one: one.share)
    except ExperimentError:
        return None
    return found if found.share > MUCH else None


def _steps_from(subject: Subject, start: Start, coarse: torch.dtype) -> Rounded:
    found = Rounded(coarse)
    with isolated(subject.training, start=start) as copied:
        for optimizer in copied.optimizers:
            _count(optimizer, found)
        train(copied, subject.batches()[:_STEPS], steps=_STEPS)
    return found


def _count(optimizer: Optimizer, found: Rounded) -> None:
    held: list[tuple[torch.Tensor, torch.Tensor, Any]] = []

    def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        stepped = [(one, one.grad) for one in parameters_of(optimizer) if one.dtype in COARSE]
        held[:] = [(one, one.detach().clone(), grad != 0) for one, grad in stepped if grad is not None]

    def after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for parameter, old, due in held:
            found.numbers += int(due.sum())
            found.kept += int((due & (parameter.detach() == old)).sum())

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
