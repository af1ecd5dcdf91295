"""Stored data that are not what they were when watching began, and who changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from nn_inspector.beginning import MOST_LISTED, Marks, marks_of, stored_data
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, generators_of, preserved_random_state, preserved_state, tensors_of
from nn_inspector.training import Training

_MOST_BYTES = 1 << 26
_ITEMS = 6

Writer = Literal["the data set", "the collate function"]


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


def read_twice(training: Training, changed: Sequence[Changed]) -> Writer | None:
    """Who makes an item another one each time it is read, by changing the stored data: the data set, or what collates its items.

    What has changed may have come to rest: it is stirred up first, with numbers as there were in the beginning. The data are
    put back. None where nobody does, and where that cannot be tried: no data set with items, or data of more than 64 MiB.
    """
    loader = training.train_loader
    if not isinstance(loader, DataLoader):
        return None
    data: Any = loader.dataset
    found = stored_data({"train": loader})
    held = list(found.values())
    if not held or not isinstance(data, Sized) or not hasattr(data, "__getitem__"):
        return None
    if sum(one.nbytes for one in held) > _MOST_BYTES:
        return None
    BatchSource(loader)  # refuses data that can be read only once
    collate = loader.collate_fn
    writers: dict[Writer, Callable[[int], Any]] = {"the data set": data.__getitem__}
    if loader.batch_size is not None and collate is not default_collate:
        writers["the collate function"] = lambda index: collate([data[index]])
    generators = generators_of(data, collate)

    def is_writer(read: Callable[[int], Any]) -> bool:
        return any(_changes(read, index, held, generators) for index in _places(data))

    kept = [_copy(one) for one in held]
    with preserved_random_state(), preserved_state(data, collate):
        try:
            for change in changed:
                if change.place in found:
                    _stir(found[change.place], change.before, _of_one_kind(change.place, found))
            return next((who for who, read in writers.items() if is_writer(read)), None)
        except Exception:  # noqa: BLE001 - a data set of the user's may refuse numbers of ours
            return None
        finally:
            _put_back(held, kept)


def _of_one_kind(place: str, found: Mapping[str, Any]) -> Sequence[Any]:
    """What stands in the same list as a tensor, or that tensor alone."""
    return [one for other, one in found.items() if other.partition("[")[0] == place.partition("[")[0]]


@torch.no_grad()
def _stir(held: torch.Tensor | np.ndarray, marks: Marks, alike: Sequence[Any]) -> None:
    """Fill memory with random numbers of the mean and spread that it had, or with the whole numbers that it and its like hold."""
    drawing = np.random.default_rng(0)
    if marks.is_whole:
        known = np.unique(np.concatenate([np.asarray(one).reshape(-1) for one in alike]))
        numbers = drawing.choice(known, tuple(held.shape))
    elif isinstance(held, torch.Tensor) and not held.is_floating_point():
        return
    else:
        numbers = drawing.normal(marks.mean, marks.spread, tuple(held.shape))
    if isinstance(held, torch.Tensor):
        held.copy_(torch.from_numpy(numbers))
    elif held.flags.writeable:
        held[...] = numbers


def _places(data: Sized) -> Sequence[int]:
    """A few items, of those that are looked at where each stands in a list by itself."""
    return range(0, len(data), max(1, len(data) // MOST_LISTED) * -(-min(len(data), MOST_LISTED) // _ITEMS))[:_ITEMS]


def _changes(
    read: Callable[[int], Any],
    index: int,
    held: Sequence[torch.Tensor | np.ndarray],
    generators: Sequence[object],
) -> bool:
    """Whether reading an item changes the stored data time and again, and with them what is read the next time.

    What is drawn anew at each reading (crops, holes) is drawn alike in the two readings that are compared, and otherwise
    in the one between them.

    Args:
        read: gives an item by its number.
        index: its number.
        held: the stored data.
        generators: what reading draws from, beside the generators of the process.
    """
    start = [_copy(one) for one in held]
    with preserved_state(*generators):
        once = _read(read, index, seed=2 * index + 1)
        _put_back(held, start)
    with preserved_state(*generators):
        _read(read, index, seed=2 * index)
        _put_back(held, start)
        _read(read, index, seed=2 * index)
    before = [_copy(one) for one in held]
    again = _read(read, index, seed=2 * index + 1)
    if _same(before, start) or _same(held, before):
        return False
    return not _same(once, again)


def _read(read: Callable[[int], Any], index: int, *, seed: int) -> list[torch.Tensor]:
    with preserved_random_state(seed):
        return [tensor.detach().clone() for tensor in _tensors(read(index))]


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
def _put_back(held: Sequence[torch.Tensor | np.ndarray], copies: Sequence[Any]) -> None:
    for one, copy in zip(held, copies, strict=True):
        if _equal(one, copy):
            continue
        if isinstance(one, torch.Tensor):
            one.copy_(copy)
        else:
            one[...] = copy
