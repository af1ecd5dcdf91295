"""NaN and Inf that stand in the data already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, batch_size, tensors_of
from nn_inspector.history import Remedy
from nn_inspector.probes import label_parts
from nn_inspector.stats import is_dense

_BATCHES = 500
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class SpoiledData:
    """Items of the training data that hold NaN or Inf.

    Attributes:
        inputs, targets: how many items do, in either.
        items: how many were looked at.
    """

    inputs: int
    targets: int
    items: int

    @property
    def text(self) -> str:
        """That in words."""
        parts = [f"{count} {name}" for count, name in ((self.inputs, "inputs"), (self.targets, "targets")) if count]
        return f"{' and '.join(parts)} of {self.items} items that were looked at hold NaN or Inf"

    @property
    def remedy(self) -> Remedy:
        """What to do about it."""
        part = "x" if self.inputs else "y"
        return Remedy(
            "Leave such items out, or fill in what is missing, for example with the mean of its column.",
            f"for batch, (x, y) in enumerate(train_loader):\n"
            f"    bad = ~torch.isfinite({part}).flatten(1).all(1)\n"
            f"    if bad.any():\n"
            f"        print(batch, bad.nonzero().flatten().tolist())"
            if self.inputs
            else f"for batch, (x, y) in enumerate(train_loader):\n"
            f"    if not torch.isfinite({part}).all():\n"
            f"        print(batch, {part})",
        )


def spoiled_data(subject: Subject) -> SpoiledData | None:
    """Look through the training data, a few seconds at most; None if all is finite, it cannot be read, or there is no time."""
    if subject.seconds <= 0:
        return None
    try:
        found = count_spoiled(subject.training.train_loader, seconds=min(_SECONDS, subject.seconds))
    except ExperimentError:
        return None
    return found if found.inputs or found.targets else None


def count_spoiled(loader: Iterable[Any] | None, *, seconds: float = _SECONDS) -> SpoiledData:
    """Look through the data of a loader.

    Raises:
        ExperimentError: it cannot be read.
    """
    counted = [_count(batch) for batch in BatchSource(loader, seconds=seconds).as_loaded(_BATCHES)]
    return SpoiledData(*(sum(column) for column in zip(*counted, strict=True)))


def _count(batch: Any) -> tuple[int, int, int]:
    size = batch_size(batch)
    targets = [tensor for _, part in label_parts(batch) for tensor in tensors_of(part)]
    known = {id(tensor) for tensor in targets}
    inputs = [tensor for tensor in tensors_of(batch) if id(tensor) not in known]
    return _wrong(inputs, size), _wrong(targets, size), size


def _wrong(tensors: list[torch.Tensor], size: int) -> int:
    rows = torch.zeros(size, dtype=torch.bool)
    for tensor in _floating(tensors):
        bad = ~torch.isfinite(tensor.detach()).cpu()
        if bad.dim() and len(bad) == size:
            rows |= bad.reshape(size, -1).any(1)
        elif bool(bad.any()):
            rows[:] = True
    return int(rows.sum())


def _floating(tensors: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    return (tensor for tensor in tensors if tensor.is_floating_point() and is_dense(tensor))
