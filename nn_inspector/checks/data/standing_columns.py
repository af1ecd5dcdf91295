"""Columns that stand still for many items in a row while what the network cannot explain goes on: a time that was rounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.checks.base import Subject
from nn_inspector.checks.items_seen import look_at_items

LONG = 4.0
"""A column stands still if it keeps its number for so many items in a row, on average."""

JUMPS = 0.7
"""From one number to the next such columns jump: squared differences, over those of numbers in any order, come to so much."""

WITHIN = 0.5
"""Share of what is not explained that lies within rows of items which are told the same, and"""

SMOOTH = 0.3
"""which goes on smoothly there: squared differences of neighbours, over those of items in any order, are no more."""

_FEWEST_ROWS = 10
_FEWEST_NUMBERS = 8
_MOST_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """Columns that stand still, in the order of the data set.

    Attributes:
        columns: counted from 0, over all inputs.
        items: how many in a row have the same numbers there, on average.
        within: share of what the network does not explain that lies within such rows.
        smooth: squared differences of neighbours there, over those of items in any order.
    """

    columns: tuple[int, ...]
    items: float
    within: float
    smooth: float


def standing_columns(subject: Subject) -> Standing | None:
    """Look at the items in the order of the data set: where inputs stand still, and what is not explained of the targets.

    Raises:
        ExperimentError: there is no single number to be predicted for each item, or no experiment is possible.
    """
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    in_order = DataLoader(loader.dataset, batch_size=loader.batch_size or 1, collate_fn=loader.collate_fn)
    seen = look_at_items(subject, in_order, mixed=False, every_feature=True)
    if (
        seen.task != "numbers"
        or seen.features.shape[1] > _MOST_COLUMNS
        or seen.prediction.numel() != len(seen.features)
    ):
        return None
    unexplained = (seen.target.reshape(-1) - seen.prediction.reshape(-1)).double().cpu()
    return _standing(seen.features.double().cpu(), unexplained)


def _standing(features: torch.Tensor, unexplained: torch.Tensor) -> Standing | None:
    columns = list(_still(features))
    if not columns or len(columns) == features.shape[1] == 1:
        return None
    told = features[:, columns]
    begins = torch.cat([torch.ones(1, dtype=torch.bool), (told.diff(dim=0) != 0).any(1)])
    row = begins.long().cumsum(0) - 1
    rows = int(row[-1]) + 1
    if rows < _FEWEST_ROWS or len(told) < LONG * rows or _roughness(told[begins]) < JUMPS:
        return None
    size = torch.bincount(row).double()
    middle = torch.zeros(rows, dtype=torch.float64).index_add_(0, row, unexplained) / size
    inside = unexplained - middle[row]
    share = float(inside.square().sum() / (unexplained - unexplained.mean()).square().sum().clamp(min=1e-30))
    neighbours = inside.diff()[~begins[1:]]
    smooth = float(neighbours.square().mean() / (2 * inside.square().mean()).clamp(min=1e-30))
    if share < WITHIN or smooth > SMOOTH:
        return None
    return Standing(tuple(columns), len(told) / rows, share, smooth)


def _still(features: torch.Tensor) -> Iterator[int]:
    """Columns that are no constants and no flags, and change seldom from one item to the next."""
    for column in range(features.shape[1]):
        values = features[:, column]
        changes = int((values.diff() != 0).sum())
        if changes + 1 <= len(values) / LONG and len(values.unique()) >= _FEWEST_NUMBERS:
            yield column


def _roughness(told: torch.Tensor) -> float:
    """1 for numbers in any order, near 0 for those that change slowly; the least of all columns."""
    spread = told.var(0, correction=0).clamp(min=1e-30)
    return float((told.diff(dim=0).square().mean(0) / (2 * spread)).min())
