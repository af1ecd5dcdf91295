"""Stored data that are not what they were when watching began, and who changes them."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from nn_inspector.beginning import Marks, marks_of, stored_data
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, preserved_random_state, tensors_of
from nn_inspector.training import Training

_MOST_BYTES = 1 << 26
_ITEMS = 3


@dataclass(frozen=True, slots=True)
class Changed:
    """Stored data that have changed.

    Attributes:
        place: where they hang: "train.images".
        before, now: their marks.
    """

    place: str
    before: Marks
    now: Marks

    @property
    def text(self) -> str:
        """What has become of them."""
        return (
            f"their mean was {self.before.mean:.3g} and is {self.now.mean:.3g}, their standard deviation "
            f"{self.before.spread:.3g} and {self.now.spread:.3g}"
        )


def changed_data(training: Training) -> list[Changed]:
    """What the loaders read from and is not what it was. Memory that waited to be filled does not count."""
    found = []
    for place, held in stored_data(training.loaders).items():
        before, now = training.beginning.data.get(place), marks_of(held)
        if before is not None and now is not None and before.checksum != now.checksum and not before.is_constant:
            found.append(Changed(place, before, now))
    return found


def shares_memory(training: Training) -> bool:
    """Whether a batch is a piece of the stored data, not a copy of it."""
    loader = training.train_loader
    if isinstance(loader, list | tuple):
        return True
    try:
        batch = BatchSource(loader).as_loaded(1)[0]
    except ExperimentError:
        return False
    ranges = [
        (start, start + held.nbytes) for held in stored_data({"train": loader}).values() for start in [_start(held)]
    ]
    return any(low <= tensor.data_ptr() < high for tensor in tensors_of(batch) for low, high in ranges)


def _start(held: torch.Tensor | np.ndarray) -> int:
    return held.data_ptr() if isinstance(held, torch.Tensor) else int(held.ctypes.data)


def read_twice(training: Training, changed: Sequence[Changed]) -> bool | None:
    """Whether an item is another one each time it is read, because reading it changes the stored data.

    What has changed may have come to rest: it is stirred up first, with numbers as there were in the beginning. The data are
    put back. None where that cannot be tried: no data set with items, or data of more than 64 MiB.
    """
    loader = training.train_loader
    data: Any = loader.dataset if isinstance(loader, DataLoader) else None
    found = stored_data({"train": loader}) if data is not None else {}
    held = list(found.values())
    if not held or not isinstance(data, Sized) or not hasattr(data, "__getitem__"):
        return None
    if sum(one.nbytes for one in held) > _MOST_BYTES:
        return None
    BatchSource(loader)  # refuses data that can be read only once
    kept = [_copy(one) for one in held]
    try:
        for change in changed:
            if change.place in found:
                _stir(found[change.place], change.before)
        return any(_changes(data, index, held) for index in _places(data))
    finally:
        for one, copy in zip(held, kept, strict=True):
            _put_back(one, copy)


@torch.no_grad()
def _stir(held: torch.Tensor | np.ndarray, marks: Marks) -> None:
    """Fill memory with random numbers of the mean and spread that it had; whole numbers stay as they are."""
    if marks.is_whole or (isinstance(held, torch.Tensor) and not held.is_floating_point()):
        return
    numbers = np.random.default_rng(0).normal(marks.mean, marks.spread, tuple(held.shape))
    if isinstance(held, torch.Tensor):
        held.copy_(torch.from_numpy(numbers))
    elif held.flags.writeable:
        held[...] = numbers


def _places(data: Sized) -> Sequence[int]:
    return range(0, len(data), max(1, len(data) // _ITEMS))[:_ITEMS]


def _changes(data: Any, index: int, held: Sequence[torch.Tensor | np.ndarray]) -> bool:
    """Whether reading an item changes the stored data time and again, and with them what is read the next time.

    What is drawn anew at each reading (crops, holes) is drawn alike in the two readings that are compared.
    """
    start = [_copy(one) for one in held]
    once = _read(data, index, seed=1)
    for one, copy in zip(held, start, strict=True):
        _put_back(one, copy)
    _read(data, index, seed=0)
    before = [_copy(one) for one in held]
    again = _read(data, index, seed=1)
    if _same(before, start) or _same(held, before):
        return False
    return not _same(once, again)


def _read(data: Any, index: int, *, seed: int) -> list[torch.Tensor]:
    with preserved_random_state(seed):
        return [tensor.detach().clone() for tensor in _tensors(data[index])]


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(_equal(a, b) for a, b in zip(some, others, strict=False))


def _tensors(item: Any) -> list[torch.Tensor]:
    if isinstance(item, np.ndarray):
        return [torch.from_numpy(item.copy())] if item.dtype.kind in "biuf" else []
    if isinstance(item, tuple | list):
        return [tensor for part in item for tensor in _tensors(part)]
    return list(tensors_of(item))


def _copy(held: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    return held.detach().clone() if isinstance(held, torch.Tensor) else held.copy()


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())  # noqa: PLR0124 - NaN
    return bool(np.array_equal(a, b))


@torch.no_grad()
def _put_back(held: torch.Tensor | np.ndarray, copy: Any) -> None:
    if _equal(held, copy):
        return
    if isinstance(held, torch.Tensor):
        held.copy_(copy)
    else:
        held[...] = copy
