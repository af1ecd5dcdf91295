"""Validation inputs of another scale than those of training: a step of the preparation that one of them lacks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.answers import Answers, answers
from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import known_left, left_of_validation
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, isolated, tensors_of
from nn_inspector.experiments.batch_contents import map_leaves

FAR = 0.75
"""So many standard deviations lie between the means, or"""

WIDER = 2.5
"""one is so many times as wide as the other, in most columns or channels."""

WORSE = 0.2
"""The network has so much more left to learn of the validation data."""

MUCH_WIDER = 10.0
"""One is so many times as wide as the other: hardly on purpose, even if the network bears it."""

HELPED = 0.5
"""Brought to the scale of training, it has no more than this share of it left."""

_BATCHES = 8


@dataclass(frozen=True, slots=True)
class OtherScale:
    """Means and standard deviations of the inputs, and what the network has left to learn.

    Attributes:
        mean, spread: of all inputs, in training.
        val_mean, val_spread: in validation.
        left, rescaled: of the validation data as they are, and brought to the scale of training; None where the network is not
            much worse for it.
    """

    mean: float
    spread: float
    val_mean: float
    val_spread: float
    left: float | None = None
    rescaled: float | None = None


def other_scale(subject: Subject) -> OtherScale | None:
    """Compare the scales, and what a copy answers for validation inputs that are brought to the one of training.

    Returns:
        None unless the scales differ and the network does worse in validation and that makes up for most of it, or unless
        one is very much wider than the other.
    """
    left, apart = known_left(subject), left_of_validation(subject)
    worse = left is not None and apart is not None and apart >= left + WORSE
    with contextlib.suppress(ExperimentError):
        source = BatchSource(subject.training.val_loader, seconds=max(subject.seconds / 4, 0.1))
        held_apart = source.as_loaded(_BATCHES)
        ours, theirs = scale_of(subject.batches(_BATCHES)), scale_of(held_apart)
        if ours is None or theirs is None or ours.means.shape != theirs.means.shape:
            return None
        scales = ours.mean, ours.spread, theirs.mean, theirs.spread
        if worse and _differ(ours, theirs):
            rescaled = _left_of(subject, held_apart, _to_scale(theirs, ours))
            if rescaled is not None and apart is not None and rescaled <= HELPED * apart:
                return OtherScale(*scales, apart, rescaled)
        if _differ(ours, theirs, wider=MUCH_WIDER, far=math.inf):
            return OtherScale(*scales)
    return None


@dataclass(frozen=True, slots=True)
class Scale:
    """Means and standard deviations, float64 [columns or channels].

    Attributes:
        means: of each.
        spreads: likewise.
        count: of how many numbers each.
    """

    means: torch.Tensor
    spreads: torch.Tensor
    count: int

    @property
    def mean(self) -> float:
        return float(self.means.mean())

    @property
    def spread(self) -> float:
        """Of all numbers together."""
        return float((self.spreads.square() + (self.means - self.means.mean()).square()).mean().sqrt())


def scale_of(batches: Iterable[Any]) -> Scale | None:
    """Of the first inputs, on the host, batch by batch, so that no more than one is held; None if they are no real numbers."""
    count, total, squares = 0, None, None
    for batch in batches:
        values = next(tensors_of(batch), None)
        if values is None or not values.is_floating_point() or values.dim() <= 1:
            return None
        axis = 1 if values.dim() > 3 else values.dim() - 1
        others = [one for one in range(values.dim()) if one != axis]
        wide = values.detach().double()
        sums, more = wide.sum(others).cpu(), wide.square().sum(others).cpu()
        if total is not None and total.shape != sums.shape:
            return None
        total, squares = (sums, more) if total is None or squares is None else (total + sums, squares + more)
        count += values.numel() // values.shape[axis]
    if total is None or squares is None or count == 0:
        return None
    means = total / count
    return Scale(means, (squares / count - means.square()).clamp(min=0).sqrt(), count)


def _differ(ours: Scale, theirs: Scale, *, wider: float = WIDER, far: float = FAR) -> bool:
    widths = ours.spreads.clamp(min=1e-12), theirs.spreads.clamp(min=1e-12)
    between = (ours.means - theirs.means).abs() / widths[0]
    ratio = torch.maximum(widths[0] / widths[1], widths[1] / widths[0])
    return float(((between > far) | (ratio > wider)).float().mean()) > HELPED


def _to_scale(theirs: Scale, ours: Scale) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(values: torch.Tensor) -> torch.Tensor:
        shape = [1] * values.dim()
        shape[1 if values.dim() > 3 else -1] = -1
        mean, spread, wanted, width = (
            one.to(values).reshape(shape) for one in (theirs.means, theirs.spreads, ours.means, ours.spreads)
        )
        return (values - mean) / spread.clamp(min=1e-12) * width + wanted

    return change


def _left_of(subject: Subject, batches: Iterable[Any], change: Callable[[torch.Tensor], torch.Tensor]) -> float | None:
    with isolated(subject.training, start=Start()) as copied:
        found = [one for one in (answers(copied, _changed(batch, change)) for batch in batches) if one is not None]
    return Answers.together(found).unlearned if found else None


def _changed(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    first = next(tensors_of(batch))
    return map_leaves(batch, lambda leaf: change(leaf) if leaf is first else leaf)
