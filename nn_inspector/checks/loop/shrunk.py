"""Weights that something besides the optimizer makes smaller after each step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from nn_inspector.checks.base import Subject
from nn_inspector.checks.model.wiring import parameters_of
from nn_inspector.checks.race import Race, race
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Run

SMALLEST = 1e-4
"""Weight decay by hand takes less than this of the weights at a step: a rate of 1e-3 times 0.1."""

_NEARLY_ALL = 0.8
_ENOUGH = 5
_SAME = 0.05
"""All weights are made smaller alike: no more of the change than this is anything else."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What is taken of all weights of one optimizer after each step.

    Attributes:
        share: from 0 to 1.
        optimizer: which one.
    """

    share: float
    optimizer: int


def shrunk_weights(run: Run) -> Shrunk | None:
    """What is taken of the weights after nearly every one of the first steps; None if nothing is, or something else is done."""
    return next(_shrunk_weights(run), None)


def _shrunk_weights(run: Run) -> Iterator[Shrunk]:
    facts: list[tuple[str, dict[str, Any]]] = [(entry.call, dict(entry.facts)) for entry in list(run.trace)]
    for optimizer in sorted({one["optimizer"] for call, one in facts if call == "shrunk"}):
        own = [(call, one) for call, one in facts if one.get("optimizer") == optimizer]
        steps = sum(call == "step" for call, _ in own) - 1
        shares = [
            one["share"] for call, one in own if call == "shrunk" and one["share"] >= SMALLEST and one["apart"] <= _SAME
        ]
        if len(shares) >= max(_ENOUGH, _NEARLY_ALL * steps):
            yield Shrunk(float(np.median(shares)), optimizer)


def race_to_whole_weights(subject: Subject, shrunk: Shrunk) -> Race | None:
    """Copies leave the weights as the optimizer made them, and copies make them smaller after each step."""
    return race(subject, without=lambda copied: _shrink(copied, shrunk))


def _shrink(copied: TrainingCopy, shrunk: Shrunk) -> None:
    @torch.no_grad()
    def after(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for parameter in parameters_of(optimizer):
            parameter.mul_(1 - shrunk.share)

    copied.optimizers[shrunk.optimizer].register_step_post_hook(after)
