"""Items that are told apart by their company in the batch, and come in another company for validation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import LEARNED, known_left, left_of
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, batch_size, isolated

WORSE = 0.2
"""The network has so much more left to learn of the validation data than of its training data."""

HELPED = 0.5
"""In the company of training, it has no more than this share of it left."""

_ITEMS = 1024
_BATCHES = 512


@dataclass(frozen=True, slots=True)
class OtherCompany:
    """What a network whose items depend on each other has left to learn of the same validation data.

    Attributes:
        as_they_come: in the batches of the val_loader.
        as_in_training: in mixed batches of the size that training has.
        val_size, size: how many items those batches have.
    """

    as_they_come: float
    as_in_training: float
    val_size: int
    size: int


def other_company(subject: Subject) -> OtherCompany | None:
    """Put validation items together as those of training are, and ask a copy about them again.

    Returns:
        None unless the network learned its training data, does worse on the validation data, and that makes up for most of it.
    """
    learned = known_left(subject)
    if learned is None or learned > LEARNED:
        return None
    try:
        size = batch_size(subject.batches()[0])
        seconds = max(subject.seconds / 4, 0.1)
        loaded = _enough(BatchSource(subject.training.val_loader, seconds=seconds).as_loaded(_BATCHES))
        mixed = BatchSource(loaded).mixed(len(loaded), size=size)
        with isolated(subject.training, start=Start()) as copied:
            before, after = left_of(copied, loaded)[1], left_of(copied, mixed)[1]
    except ExperimentError:
        return None
    if before < learned + WORSE or after > HELPED * before:
        return None
    return OtherCompany(before, after, max(map(batch_size, loaded)), size)


def _enough(batches: Sequence[Any]) -> Sequence[Any]:
    """The first batches that hold `_ITEMS` items together; all if they hold fewer."""
    totals = itertools.accumulate(map(batch_size, batches))
    return batches[: next((place for place, total in enumerate(totals, 1) if total >= _ITEMS), len(batches))]
