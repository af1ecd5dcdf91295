"""Items whose numbers have wrapped around: 250 + 10 is 4 in eight bits, so that what is bright becomes dark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from nn_inspector.beginning import stored_data
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import tensors_of
from nn_inspector.experiments.data_items import look_up
from nn_inspector.stats import is_dense

PERIODS = (2**8, 2**16)
"""How many whole numbers the formats of one and of two bytes have."""

SLACK = 3.0
"""A fall may be so many steps larger or smaller than the period: what is multiplied with a factor is rounded."""

_MOST_FALLS = 3
_FEWEST_LEVELS = 8
_MOST_NUMBERS = 4096
_PICTURES, _ROWS = 24, 400
_FEWEST_ITEMS = 2


@dataclass(frozen=True, slots=True)
class Wrapped:
    """Items that differ from what they were made of by numbers that have wrapped around.

    Attributes:
        place: of what they were made of, in the data set.
        period: how many numbers the format has.
        share: of the numbers in these items that have wrapped around.
        items: in how many of them some have; `looked` items were looked at.
        column: the column that did, in a table; None for pictures and series, where each item is looked at by itself.
    """

    place: str
    period: int
    share: float
    items: int
    looked: int
    column: int | None = None


def wrapped_around(subject: Subject) -> Wrapped | None:
    """Compare items of the training data with the stored numbers that they were made of.

    An item that was made brighter, multiplied or cast rises with the stored numbers. If it has wrapped around, it falls at
    one of them by all numbers that the format has, and rises again. Turned and mirrored pictures are turned back.

    Returns:
        None where no item has, or where nothing is stored that items could be compared with.

    Raises:
        ExperimentError: the data set cannot be asked for its items.
    """
    loader: Any = subject.training.train_loader
    if not isinstance(loader, DataLoader):
        return None
    numbers = _numbers_of(loader.dataset)
    held = {
        place: one
        for place, one in stored_data({"train": loader}).items()
        if one.ndim > 1 and len(one) > max(numbers, default=len(one)) and _holds_numbers(one)
    }
    if not held:
        return None
    most = _PICTURES if any(one.ndim > 2 for one in held.values()) else _ROWS
    chosen = range(0, len(numbers), max(1, len(numbers) // most))
    items = look_up(loader, chosen, _first_tensor, seconds=subject.seconds / 4)
    for place, one in held.items():
        rows = {index: torch.as_tensor(np.ascontiguousarray(one[numbers[index]])) for index in items}
        pairs = [pair for index, item in items.items() if (pair := _aligned(rows[index], item)) is not None]
        found = _in_columns(place, pairs) or _in_items(place, pairs)
        if found is not None:
            return found
    return None


def fall(stored: Tensor, given: Tensor) -> tuple[int, float] | None:
    """Whether numbers rise with those that they were made of, but fall by a whole period at one to three places.

    Args:
        stored: what they were made of, [numbers].
        given: what was made of them, likewise.

    Returns:
        The period, and the share of the numbers behind a fall; None if it is not so.

    Example:
        >>> stored = torch.arange(100, 220)
        >>> fall(stored, (stored + 60) % 256 / 255)
        (256, 0.2)
        >>> fall(stored, (stored + 60).clamp(max=255) / 255) is None
        True
    """
    every = max(1, len(stored) // _MOST_NUMBERS)
    stored, given = stored[::every].double(), given[::every].double()
    levels, place, counts = stored.unique(return_inverse=True, return_counts=True)
    least = torch.full_like(levels, torch.inf).scatter_reduce(0, place, given, "amin")
    most = torch.full_like(levels, -torch.inf).scatter_reduce(0, place, given, "amax")
    steps = least.unique().diff()
    if len(levels) < _FEWEST_LEVELS or len(steps) < _FEWEST_LEVELS or not torch.equal(least, most):
        return None
    rises, distances = least.diff(), levels.diff()
    down = rises < 0
    if not 1 <= int(down.sum()) <= _MOST_FALLS:
        return None
    slope = rises[~down].sum() / distances[~down].sum()
    # one whole number is what the numbers differ by at least, or what they rise by where nothing was multiplied
    units = (float(steps.min()), float(slope))
    missing = (slope * distances - rises)[down]
    for period, unit in itertools.product(PERIODS, units):
        if bool(((missing / unit - period).abs() <= SLACK).all()):
            behind = int(down.nonzero()[0]) + 1
            return period, float(counts[behind:].sum()) / len(stored)
    return None


def _in_columns(place: str, pairs: Sequence[tuple[Tensor, Tensor]]) -> Wrapped | None:
    """The first column of a table that has wrapped around: each is made in the same way in all items."""
    if not pairs or pairs[0][0].dim() != 1:
        return None
    stored, given = (torch.stack(one) for one in zip(*pairs, strict=True))
    for column in range(stored.shape[1]):
        found = fall(stored[:, column], given[:, column])
        if found is not None:
            period, share = found
            return Wrapped(place, period, share, round(share * len(stored)), len(stored), column)
    return None


def _in_items(place: str, pairs: Sequence[tuple[Tensor, Tensor]]) -> Wrapped | None:
    """Pictures and series: each may have been made in another way."""
    falls = [found for pair in pairs if pair[0].dim() > 1 and (found := _fall_of_item(*pair)) is not None]
    if len(falls) < _FEWEST_ITEMS:
        return None
    return Wrapped(place, falls[0][0], float(np.mean([share for _, share in falls])), len(falls), len(pairs))


def _fall_of_item(stored: Tensor, given: Tensor) -> tuple[int, float] | None:
    """In the first channel that has wrapped around."""
    for turned in _turned(stored):
        for before, after in zip(turned.flatten(1), given.flatten(1), strict=True):
            found = fall(before, after)
            if found is not None:
                return found
    return None


def _turned(picture: Tensor) -> Iterator[Tensor]:
    """A picture [channels, height, width] as it is, and mirrored; a series [channels, times] likewise."""
    axes = range(1, picture.dim())
    for count in range(picture.dim()):
        for chosen in itertools.combinations(axes, count):
            yield picture.flip(chosen)


def _aligned(row: Tensor, given: Tensor) -> tuple[Tensor, Tensor] | None:
    """What is stored of an item and what is given, with the channels first: [columns], or [channels, ...]; None if they differ in shape."""
    given = given.squeeze() if row.dim() == 1 else given
    if row.dim() == 3 and row.shape != given.shape:  # height, width, channels
        row = row.permute(2, 0, 1)
    if row.dim() == 2:
        row, given = row[None], given if given.dim() == 3 else given[None]
    return (row, given) if row.shape == given.shape else None


def _numbers_of(data: Any) -> Sequence[int]:
    """Of each item, its number in the data set that stands behind subsets of it."""
    if isinstance(data, Subset):
        behind = _numbers_of(data.dataset)
        return [behind[index] for index in data.indices]
    return range(len(data)) if hasattr(data, "__len__") else ()


def _holds_numbers(one: Tensor | np.ndarray) -> bool:
    if isinstance(one, Tensor):
        return is_dense(one) and not one.is_complex() and one.dtype not in (torch.bool, torch.bfloat16)
    return one.dtype.kind in "iuf" and one.dtype.isnative


def _first_tensor(item: Any) -> Tensor:
    first = item[0] if isinstance(item, tuple | list) and item else item
    if isinstance(first, np.ndarray):
        return torch.from_numpy(first.copy())
    found = list(tensors_of(first))
    if not found:
        raise ExperimentError("Its items hold no tensor.")
    return found[0].detach().cpu().clone()
