"""Validation inputs that were standardized by their own mean and standard deviation, and not by those of training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from nn_inspector.arguments import length_of
from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.other_scale import WORSE, Scale, scale_of
from nn_inspector.checks.race import known_left, left_of_validation
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, tensors_of

EXACT = 1e-4
"""So near to 0 and 1 come mean and standard deviation only where they were made so: those of a random part are off by 1 / sqrt(items)."""

NEAR = 0.2
"""So near are those of the training data, of which a part is looked at."""

_BATCHES = 64
_FEWEST = 30


def scaled_by_itself(subject: Subject) -> tuple[float, float] | None:
    """Look at the inputs of all validation items.

    Returns:
        What the network has left to learn of the training data and of those of validation; None unless each column of these has mean 0
        and standard deviation 1, as training has, and the network does clearly worse on them.
    """
    left, apart = known_left(subject), left_of_validation(subject)
    loader = subject.training.val_loader
    if left is None or apart is None or apart < left + WORSE or subject.seconds <= 0:
        return None
    count = length_of(loader) if isinstance(loader, DataLoader | list | tuple) else None
    if count is None or count > _BATCHES:
        return None
    with contextlib.suppress(ExperimentError):
        batches = BatchSource(loader, seconds=max(subject.seconds / 4, 0.1)).as_loaded(_BATCHES)
        theirs, ours = scale_of(batches), scale_of(subject.batches())
        if theirs is None or ours is None or _each_by_itself(batches) or _each_by_itself(subject.batches()):
            return None
        if len(batches) == count and _is_standard(theirs, EXACT) and _is_standard(ours, NEAR):
            return left, apart
    return None


def _is_standard(scale: Scale, within: float) -> bool:
    """Whether each column that varies has mean 0 and standard deviation 1, over its items or those less one."""
    varies = scale.spreads > 1e-6
    correction = (scale.count / max(scale.count - 1, 1)) ** 0.5
    off = torch.minimum((scale.spreads - 1).abs(), (scale.spreads * correction - 1).abs())
    fits = (scale.means.abs() <= within) & (off <= within)
    return scale.count >= _FEWEST and bool(varies.any()) and bool(fits[varies].all())


def _each_by_itself(batches: Sequence[Any] | Iterable[Any]) -> bool:
    """Whether each item, or each batch, has mean 0: whatever they are drawn from has it then, too."""
    inputs = [next(tensors_of(batch)).double() for batch in batches]
    of_items = torch.cat([one.flatten(1).mean(1) for one in inputs])
    of_batches = torch.stack([one.mean() for one in inputs])
    several = len(of_batches) > 1
    return bool((of_items.abs() < EXACT).all()) or (several and bool((of_batches.abs() < EXACT).all()))
