"""Tries a remedy: one short training without it and one with it, from one state and on the same batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nn_inspector.errors import ArgumentError
from nn_inspector.experiments.isolation import TrainingCopy, isolated
from nn_inspector.experiments.mini_training import train
from nn_inspector.experiments.start import Start
from nn_inspector.history import Trial
from nn_inspector.training import Training

CLEAR = 0.1
"""A remedy helped if it ends lower by this share of the starting loss."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a trial.

    Attributes:
        batches: what it trains on, in turn.
        judge: the batch on which its loss is taken.
        change: changes the copy before it is trained.
        zero_grad: whether gradients are cleared between steps.
    """

    batches: Sequence[Any]
    judge: Any
    change: Callable[[TrainingCopy], None] | None = None
    zero_grad: bool = True


def try_remedy(
    training: Training, without: Arm, treated: Arm, *, steps: int, start: Start, seconds: float
) -> Trial | None:
    """Run both arms and compare where they end.

    Args:
        training: the user's training.
        without: the arm without the remedy.
        treated: the arm with it.
        steps: how many steps each may take.
        start: the state both start from.
        seconds: budget for both together.

    Returns:
        The trial, or None if the time was too short for a single step.

    Raises:
        ArgumentError: `steps` is no number from 1, or `seconds` no number.
        ExperimentError: the training cannot be copied, or the batches do not fit.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or math.isnan(seconds):
        raise ArgumentError("seconds", expected="a number of seconds", got=repr(seconds), advice="15.0 is usual.")
    curves: list[list[float]] = []
    for arm in (without, treated):
        with isolated(training, start=start) as copied:
            if arm.change is not None:
                arm.change(copied)
            deadline = time.monotonic() + seconds / 2
            curves.append(
                train(copied, arm.batches, steps=steps, judge=arm.judge, zero_grad=arm.zero_grad, deadline=deadline)
            )
    return compare(*curves)


def compare(without: list[float], treated: list[float]) -> Trial | None:
    """A trial of two curves: losses before the first and after each step, without the remedy and with it.

    Returns:
        None if the time was too short for a single step.
    """
    if min(len(without), len(treated)) < 2:
        return None
    shown = _same_length([without, treated])
    return Trial(shown[0], shown[1], helped=_lower(without, treated))


def _same_length(curves: Sequence[list[float]]) -> list[list[float]]:
    """Both arms count the same number of steps, unless one of them broke off because it was not finite."""
    finite = [len(curve) for curve in curves if math.isfinite(curve[-1])]
    shortest = min(finite, default=min(map(len, curves)))
    return [curve[:shortest] for curve in curves]


def _lower(without: list[float], treated: list[float]) -> bool:
    if not math.isfinite(treated[-1]):
        return False
    if not math.isfinite(without[-1]):
        return True
    without, treated = _same_length([without, treated])
    return _end(without) - _end(treated) > CLEAR * abs(treated[0])


def _end(curve: list[float]) -> float:
    """Median of the last losses: a single batch may be easy or hard."""
    tail: Any = sorted(curve[-5:])
    return float(tail[len(tail) // 2])
