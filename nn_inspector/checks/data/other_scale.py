"""Validation inputs of another scale than those of training: a step of the preparation that one of them lacks."""

from __future__ import annotations

import contextlib
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

HELPED = 0.5
"""Brought to the scale of training, it has no more than this share of it left."""

_BATCHES = 20


@dataclass(frozen=True, slots=True)
class OtherScale:
    """Means and standard deviations of the inputs, and what the network has left to learn.

    Attributes:
        mean, spread: of all inputs, in training.
        val_mean, val_spread: in validation.
        left, rescaled: of the validation data as they are, and brought to the scale of training.
    """

    mean: float
    spread: float
    val_mean: float
    val_spread: float
    left: float
    rescaled: float


def other_scale(subject: Subject) -> OtherScale | None:
    """Compare the scales, and what a copy answers for validation inputs that are brought to the one of training.

    Returns:
        None unless the scales differ, the network does worse in validation, and that makes up for most of it.
    """
    left, apart = known_left(subject), left_of_validation(subject)
    if left is None or apart is None or apart < left + WORSE:
        return None
    with contextlib.suppress(ExperimentError):
        source = BatchSource(subject.training.val_loader, seconds=max(subject.seconds / 4, 0.1))
        ours, theirs = _columns(subject.batches(_BATCHES)), _columns(source.as_loaded(_BATCHES))
        if ours is None or theirs is None or ours.shape[1] != theirs.shape[1] or not _differ(ours, theirs):
            return None
        rescaled = _left_of(subject, source.as_loaded(_BATCHES), _to_scale(theirs, ours))
        if rescaled is not None and rescaled <= HELPED * apart:
            spreads = float(ours.std()), float(theirs.std())
            return OtherScale(float(ours.mean()), spreads[0], float(theirs.mean()), spreads[1], apart, rescaled)
    return None


def _columns(batches: Iterable[Any]) -> torch.Tensor | None:
    """The first inputs as float32 [numbers, columns or channels]; None if they are no real numbers."""
    firsts = [next(tensors_of(batch), None) for batch in batches]
    found = [one.detach().float() for one in firsts if one is not None and one.is_floating_point() and one.dim() > 1]
    if not found or len(found) < len(firsts) or len({one.shape[1:] for one in found}) > 1:
        return None
    together = torch.cat(found)
    return together.transpose(0, 1).flatten(1).T if together.dim() > 3 else together.reshape(-1, together.shape[-1])


def _differ(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    widths = ours.std(0).clamp(min=1e-12), theirs.std(0).clamp(min=1e-12)
    far = (ours.mean(0) - theirs.mean(0)).abs() / widths[0]
    ratio = torch.maximum(widths[0] / widths[1], widths[1] / widths[0])
    return float(((far > FAR) | (ratio > WIDER)).float().mean()) > HELPED


def _to_scale(theirs: torch.Tensor, ours: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(values: torch.Tensor) -> torch.Tensor:
        shape = [1] * values.dim()
        shape[1 if values.dim() > 3 else -1] = -1
        mean, spread, wanted, width = (
            one.to(values).reshape(shape) for one in (theirs.mean(0), theirs.std(0), ours.mean(0), ours.std(0))
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
