"""Passes that are left early and begin with the same batches every time: all others are never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import DataLoader, SequentialSampler

from nn_inspector.arguments import length_of
from nn_inspector.experiments import item_sampler
from nn_inspector.probes import Epoch

PASSES = 5
"""So many passes that all end early are no accident."""

FEW = 0.5
"""Share of the batches up to which a pass counts as left early; a last one may be left out on purpose."""


@dataclass(frozen=True, slots=True)
class NeverSeen:
    """What the passes hold of a loader.

    Attributes:
        taken: batches of a pass.
        batches: those of the loader.
        passes: how many there were.
        in_order: whether the sampler goes through the data in order; else its random numbers begin anew with each pass.
    """

    taken: int
    batches: int
    passes: int
    in_order: bool


def never_seen(loader: object, epochs: Sequence[Epoch]) -> NeverSeen | None:
    """What is never seen of a loader; None if its passes are whole, or not the same."""
    left = left_early(loader, epochs)
    if left is None or not _hold_the_same(epochs[:-1], in_order=is_sequential(loader)):
        return None
    return left


def left_early(loader: object, epochs: Sequence[Epoch]) -> NeverSeen | None:
    """What is taken of each pass, where all are left after the same few batches, be they the same or not; None if they are not."""
    if not isinstance(loader, DataLoader) or not epochs or max(epochs[-1].number + 1, len(epochs)) < PASSES:
        return None
    early, batches = epochs[:-1], length_of(loader)
    if not early or batches is None:
        return None
    taken = early[0].batches
    same = all(epoch.batches == taken and not epoch.complete for epoch in early) and epochs[-1].batches <= taken
    if not same or taken > FEW * batches:
        return None
    return NeverSeen(taken, batches, epochs[-1].number + 1, is_sequential(loader))


def _hold_the_same(epochs: Sequence[Epoch], *, in_order: bool) -> bool:
    """Whether passes hold the same items: read from them, or of items that are changed at random from their labels.

    Where nothing could be read, a sampler that goes through the data in order tells it. A data set may make each item anew.
    """
    read = [epoch for epoch in epochs if epoch.read and epoch.order]
    if len({epoch.order for epoch in read}) <= 1:
        return bool(read) or in_order
    labels = [{place: part.checksum for place, part in epoch.parts.items() if part.constant is None} for epoch in read]
    return in_order and bool(labels[0]) and all(one == labels[0] for one in labels)


def is_sequential(loader: object) -> bool:
    """Whether it goes through the data in their order."""
    return isinstance(loader, DataLoader) and isinstance(item_sampler(loader), SequentialSampler | list | range)
