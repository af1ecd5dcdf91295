"""Can a copy learn a few items by heart? Shared by the checks that try it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.levels import loss_levels
from nn_inspector.experiments import (
    Start,
    TrainingCopy,
    batch_size,
    isolated,
    lowest_loss,
    train,
    without_regularization,
)
from nn_inspector.probes import CallMode, LossCall, node_number, origin

FITTED = 0.05
"""The items count as learned when so much of the distance from the first loss to the least possible is left."""

NEARLY = 0.3
"""With no more than this left, the network does learn, only slowly: it is not broken."""

WELL = 0.5
"""A training that came so far from chance to the least possible loss needs no help of these checks."""

ENOUGH_WEIGHTS = 10.0
"""A network with fewer trainable numbers for each target number may be unable to learn them, and yet be sound."""

_FACTORS = frozenset({"mul", "div", "mean", "sum"})
_NOT_NEGATIVE = frozenset({"pow", "abs", "mse", "smooth_l1", "huber"})
"""What a loss may be put together of so that its least value can be told."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One attempt at learning the items.

    Attributes:
        losses: before the first and after each step.
        floor: the least possible loss on these targets.
        targets: how many numbers there are to learn.
        floor_is_known: whether that is certain.
    """

    losses: list[float]
    floor: float
    targets: int
    floor_is_known: bool = True

    @property
    def start(self) -> float:
        return self.losses[0]

    @property
    def end(self) -> float:
        return self.losses[-1]

    @property
    def steps(self) -> int:
        return len(self.losses) - 1

    @property
    def threshold(self) -> float:
        return self.floor + FITTED * abs(self.start - self.floor)

    @property
    def left(self) -> float:
        """The share of the way down that is still to go."""
        left = (self.end - self.floor) / max(abs(self.start - self.floor), 1e-12)
        return left if math.isfinite(left) else math.inf

    @property
    def learned(self) -> bool:
        return self.end <= self.threshold

    def cut_short(self, steps: int) -> bool:
        """Whether time ran out before this attempt had its chance."""
        return not self.learned and math.isfinite(self.end) and self.steps < steps

    def evidence(self, name: str) -> dict[str, float | list[float]]:
        return {name: self.losses, "learned_below": self.threshold}


def learn_by_heart(
    subject: Subject,
    start: Start,
    batch: Any,
    steps: int,
    *,
    seconds: float,
    adam_rate: float | None = None,
    change: Callable[[TrainingCopy], None] | None = None,
) -> Fit:
    """Train a fresh copy on one batch until it is learned.

    Args:
        subject: the training.
        start: where the copy begins.
        batch: of few items.
        steps: at most so many.
        seconds: at most so long.
        adam_rate: rate of an Adam that takes the place of the user's optimizers; None for those.
        change: what is different in the copy.
    """
    with _plain_copy(subject, start, adam_rate) as copied:
        if change is not None:
            change(copied)
        fit = _untrained(copied, batch)
        deadline = time.monotonic() + seconds
        return replace(fit, losses=train(copied, [batch], steps=steps, deadline=deadline, until=fit.threshold))


def learn_in_epochs(
    subject: Subject,
    start: Start,
    batches: Sequence[Any],
    epochs: int,
    *,
    seconds: float,
    adam_rate: float | None = None,
) -> Fit:
    """Train a fresh copy on a few batches until all are learned; its losses are means over an epoch, after the first one."""
    with _plain_copy(subject, start, adam_rate) as copied:
        fit = _untrained(copied, batches[0])
        deadline, losses, seen = time.monotonic() + seconds, [fit.start], [fit.start]
        while len(losses) <= epochs and losses[-1] > fit.threshold and time.monotonic() < deadline:
            seen = train(copied, batches, steps=len(batches), deadline=deadline)
            if len(seen) <= len(batches):
                break
            losses.append(sum(seen[:-1]) / len(batches))
        targets = fit.targets * sum(map(batch_size, batches)) // batch_size(batches[0])
        return replace(fit, losses=losses if math.isfinite(seen[-1]) else [*losses, math.inf], targets=targets)


@contextlib.contextmanager
def _plain_copy(subject: Subject, start: Start, adam_rate: float | None) -> Iterator[TrainingCopy]:
    """A copy without regularization, with the user's optimizers or with Adam."""
    with isolated(subject.training, start=start) as copied:
        without_regularization(copied)
        copied.same_noise = True
        if adam_rate is not None:
            trainable = [p for p in copied.model.parameters() if p.requires_grad]
            copied.optimizers = [torch.optim.Adam(trainable, lr=adam_rate)]
        yield copied


def _untrained(copied: TrainingCopy, batch: Any) -> Fit:
    calls: list[LossCall] = []
    with CallMode(calls.append):
        loss = copied.loss(batch)
    first, floor = float(loss.detach()), _floor(loss, calls)
    targets = calls[0].target.numel() if len(calls) == 1 else batch_size(batch)
    return Fit([first], floor or 0.0, targets, floor_is_known=floor is not None)


def _floor(loss: torch.Tensor, calls: Sequence[LossCall]) -> float | None:
    """The least possible loss, if it can be told.

    Of the one loss function that was called it is that of the function, times what the loop multiplies it with; of
    squares and sizes that are added up it is 0.
    """
    if len(calls) == 1 and any(
        isinstance(one, torch.Tensor) and one.requires_grad for one in (calls[0].target, *calls[0].options.values())
    ):
        return None  # more is predicted than one tensor: a spread, or what it is compared with
    if len(calls) == 1:
        value = calls[0].value.detach().mean()
        known = {number: "loss" for number in [node_number(calls[0].value.grad_fn)] if number is not None}
        if origin(loss, known)[-1:] == ["loss"] and set(origin(loss, known)[:-1]) <= _FACTORS:
            return lowest_loss(calls[0]) * (float(loss.detach() / value) if value else 1.0)
    steps = [name for name in origin(loss) if name not in _FACTORS]
    return 0.0 if not calls and steps[:1] and steps[0] in _NOT_NEGATIVE else None


def learned_well(subject: Subject) -> bool:
    """Whether the training itself came most of the way, whatever it does on a few items."""
    levels, seen = loss_levels(subject), LossCurve.of(subject.run)
    return levels is not None and bool(seen.total) and levels.progress(seen.end) >= WELL
