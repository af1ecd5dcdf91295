"""Whether the axis of the batch is taken away: a network that does so gives as many answers, however many items it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.model.mixing import changed
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy, batch_size, take_apart, tensors_of
from nn_inspector.experiments.batch_contents import select
from nn_inspector.experiments.flow import flow_of

_FEWEST = 3


@dataclass(frozen=True, slots=True)
class LostAxis:
    """Where the items of a batch are put together or dropped, and another axis takes their place.

    Attributes:
        call: name of the function that does it; "" if it is not known.
        module: name of the module that calls it; "" for the model itself.
        given, made: shapes of what it is given and of what it returns.
        items: how many the batch has; the model returns as many rows for one item less.
    """

    call: str
    module: str
    given: list[int]
    made: list[int]
    items: int


def lost_axis(copied: TrainingCopy, batch: Any) -> LostAxis | None:
    """Look whether the model returns as many rows for a batch as for one with an item less, in evaluation mode.

    Only a model that answers with a row for each place of the batch is judged: another axis is as long by chance. Models
    that fill up their batches, or that do not look at what they are given, are left aside.

    Args:
        copied: a copy.
        batch: what the loader yields; its first axis counts items.

    Returns:
        None if the number of rows follows that of the items, or if it cannot be told.
    """
    items = batch_size(batch)
    if items < _FEWEST:
        return None
    places = torch.arange(items)
    try:
        usual = _alone(copied, batch)
        if not _alike(usual.output, _in_loop(copied, batch).output):
            return None
        fewer = _alone(copied, select(batch, places[:-1], items))
        if not _as_many(usual, fewer, items) or not _looks_at_all(copied, batch, usual, places):
            return None
    except ExperimentError:
        return None
    return _guilty(usual, fewer, items)


def _alone(copied: TrainingCopy, batch: Any) -> Anatomy:
    torch.manual_seed(0)
    return take_apart(copied, batch, training=False, backward=False, alone=True)


def _in_loop(copied: TrainingCopy, batch: Any) -> Anatomy:
    torch.manual_seed(0)
    return take_apart(copied, batch, training=False, backward=False)


def _alike(one: Any, other: Any) -> bool:
    pairs = list(zip(tensors_of(one), tensors_of(other), strict=False))
    return bool(pairs) and all(a.shape == b.shape and not bool(changed(a, b).any()) for a, b in pairs)


def _as_many(usual: Anatomy, fewer: Anatomy, items: int) -> bool:
    """Whether both return the same shapes, the first with one row for each item, and rows that are not all the same."""
    shapes = [[one.shape for one in tensors_of(seen.output)] for seen in (usual, fewer)]
    if not shapes[0] or shapes[0] != shapes[1] or shapes[0][0][:1] != (items,):
        return False
    rows = next(tensors_of(usual.output))
    return bool(changed(rows, rows[:1].expand_as(rows)).any())


def _looks_at_all(copied: TrainingCopy, batch: Any, usual: Anatomy, places: torch.Tensor) -> bool:
    """Whether the answers change with the items, and another first item changes more than the first row, or nothing."""
    size = len(places)
    same = _alone(copied, select(batch, torch.zeros_like(places), size))
    if _alike(usual.output, same.output):
        return False
    other = places.clone()
    other[0] = size - 1
    rows = _changed_rows(usual, _alone(copied, select(batch, other, size)))
    return rows != [0]


def _changed_rows(usual: Anatomy, other: Anatomy) -> list[int]:
    before, after = (next(tensors_of(seen.output)) for seen in (usual, other))
    moved = changed(before, after).reshape(len(before), -1).any(1)
    return [int(row) for row in moved.nonzero().flatten()]


def _guilty(usual: Anatomy, fewer: Anatomy, items: int) -> LostAxis:
    """The first call on the items' data that is given less for one item less, and returns as much."""
    if len(usual.calls) == len(fewer.calls):
        for place, node in flow_of(usual).nodes.items():
            given, made = node.call.inputs[0], node.call.output
            less = fewer.calls[place]
            follows = bool(less.inputs) and less.inputs[0].shape != given.shape
            if follows and made is not None and less.output is not None and made.shape == less.output.shape:
                return LostAxis(node.call.name, node.call.module or "", list(given.shape), list(made.shape), items)
    return LostAxis("", "", [], [], items)
