"""Labels that a collate function puts beside the inputs of other items, as where it sorts one of the two."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, tensors_of
from nn_inspector.probes import label_parts

ITEMS = 32
"""So many items are put together."""

_FEWEST = 8
_OFTEN = 0.2


@dataclass(frozen=True, slots=True)
class Collated:
    """What became of the items of one batch.

    Attributes:
        items: how many.
        moved: how many have their inputs at another place than they were given in.
        wrong: how many inputs stand beside a label that is not theirs.
    """

    items: int
    moved: int
    wrong: int


def collated_apart(subject: Subject) -> Collated | None:
    """Hold a batch against its items, each collated alone.

    Returns:
        None if labels and inputs stay together, or the inputs of an item cannot be told in the batch: another collate function than
        torch's own is needed, and items that are the same each time.
    """
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader) or loader.collate_fn is default_collate or subject.seconds <= 0:
        return None
    with contextlib.suppress(ExperimentError):
        whole, singles = BatchSource(loader, seconds=max(subject.seconds / 4, 0.1)).one_by_one(ITEMS)
        return _compare(whole, singles)
    return None


def _compare(whole: Any, singles: Sequence[Any]) -> Collated | None:
    count = len(singles)
    inputs, labels = _inputs(whole, count), _labels(whole, count)
    own = [(_inputs(one, 1), _labels(one, 1)) for one in singles]
    if count < _FEWEST or inputs is None or labels is None or any(a is None or b is None for a, b in own):
        return None
    given, right = [a[0] for a, _ in own if a is not None], [b[0] for _, b in own if b is not None]
    places = [[place for place, one in enumerate(given) if _holds(row, one)] for row in inputs]
    if any(len(found) != 1 for found in places) or len({found[0] for found in places}) < count:
        return None
    order = [found[0] for found in places]
    wrong = sum(not _holds(labels[row], right[place]) for row, place in enumerate(order))
    moved = sum(row != place for row, place in enumerate(order))
    return Collated(count, moved, wrong) if moved and wrong >= _OFTEN * count else None


def _inputs(batch: Any, count: int) -> torch.Tensor | None:
    """The largest tensor with a row for each item that is no label."""
    labels = [part for _, part in label_parts(batch)]
    rest = [one for one in tensors_of(batch) if not any(one is part for part in labels)]
    found = [one for one in (rest or list(tensors_of(batch))[:1]) if one.dim() > 1 and len(one) == count]
    return max(found, key=torch.Tensor.numel, default=None)


def _labels(batch: Any, count: int) -> torch.Tensor | None:
    """The last labels with a row for each item."""
    found = [one for _, one in label_parts(batch) if isinstance(one, torch.Tensor) and one.dim() and len(one) == count]
    return found[-1] if found else None


def _holds(row: torch.Tensor, one: torch.Tensor) -> bool:
    """Whether a row of a batch is an item, perhaps with padding behind or in front of it."""
    if row.dim() != one.dim() or any(wide < narrow for wide, narrow in zip(row.shape, one.shape, strict=True)):
        return False
    front = tuple(slice(0, size) for size in one.shape)
    back = tuple(slice(wide - size, wide) for wide, size in zip(row.shape, one.shape, strict=True))
    return torch.equal(row[front], one) or torch.equal(row[back], one)
