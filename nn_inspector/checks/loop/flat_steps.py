"""Functions that rise in steps, such as round() and sign(): their gradient is zero everywhere, unless it is passed straight through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.lower_loss import far_lower_with
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.rewiring import Spot, rewire
from nn_inspector.history import Trial

STEPWISE = frozenset({"round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside"})


@dataclass(frozen=True, slots=True)
class FlatSteps:
    """What is done in steps, and a trial in which the gradient passes straight through.

    Attributes:
        names: of the functions.
        trial: the same loss with and without.
    """

    names: tuple[str, ...]
    trial: Trial


def stepwise_calls(seen: Anatomy) -> list[Spot]:
    """The calls in a forward pass that give in steps what was computed from trained weights."""
    turns: Counter[str] = Counter()
    found = []
    for call in seen.calls:
        if call.module is None or call.name not in STEPWISE:
            continue
        if call.output is not None and call.output.requires_grad:
            found.append((call.name, turns[call.name]))
        turns[call.name] += 1
    return found


def flat_steps(subject: Subject) -> FlatSteps | None:
    """Functions without a gradient that the loss falls far lower without.

    Returns:
        None if there are none, or unless the same loss falls far lower where the gradient passes them by.
    """
    try:
        calls = stepwise_calls(subject.anatomy("initial"))
    except ExperimentError:
        return None
    if not calls:
        return None
    trial = far_lower_with(subject, lambda copied: rewire(copied.model, dict.fromkeys(calls, _straight)))
    return FlatSteps(tuple(dict.fromkeys(name for name, _ in calls)), trial) if trial is not None else None


def _straight(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """The numbers of the steps, the gradient of what they are made of."""
    given: torch.Tensor = args[0] if args else kwargs["input"]
    passed: torch.Tensor = given + (function(*args, **kwargs) - given).detach()
    return passed
