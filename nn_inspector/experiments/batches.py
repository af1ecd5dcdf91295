"""Batches of the user's data for experiments, drawn without iterating the user's loader."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.errors import ExperimentError, describe
from nn_inspector.experiments.random_state import preserved_generators, preserved_random_state

_POOL = 64
"""Where items cannot be drawn one by one, they are mixed within so many batches."""


class BatchSource:
    """Draws batches from a loader's data set, as the loader would or mixed at random.

    The loader is not iterated: no worker starts, no generator of the user's moves, no probe sees it.

    Args:
        loader: a `DataLoader`, a sequence of batches, or an iterable that can be iterated more than once.
        seed: for what is drawn at random.

    Raises:
        ExperimentError: the loader is missing, or can be read only once.
    """

    def __init__(self, loader: Iterable[Any] | None, *, seed: int = 0) -> None:
        if loader is None:
            raise ExperimentError("There is no train_loader to take data from. Pass train_loader=... to watch().")
        if isinstance(loader, Iterator) or (isinstance(loader, DataLoader) and isinstance(loader.dataset, Iterator)):
            raise ExperimentError(
                f"The train_loader is {describe(loader)} that can be read only once, and an experiment would use up "
                "its data. Pass a DataLoader or a list of batches."
            )
        self._loader = loader
        self._seed = seed

    def as_loaded(self, count: int) -> list[Any]:
        """The first `count` batches in the order in which the loader hands them out (fewer if it is shorter)."""
        with preserved_random_state(self._seed):
            return list(itertools.islice(self._pass(), count))

    def mixed(self, count: int, size: int | None = None) -> list[Any]:
        """`count` batches of items drawn at random without repetition; fewer if the data run out.

        Args:
            count: how many batches.
            size: items in each; the loader's own batch size if None.
        """
        loader = self._loader
        with preserved_random_state(self._seed):
            if _indexable(loader):
                assert isinstance(loader, DataLoader)
                size = size or loader.batch_size or 1
                order = torch.randperm(len(loader.dataset)).tolist()  # type: ignore[arg-type]
                chunks = [order[start : start + size] for start in range(0, min(len(order), count * size), size)]
                return [_collate(loader, chunk) for chunk in chunks]
            pool = list(itertools.islice(self._pass(), max(_POOL, count)))
            size = size or batch_size(pool[0])
            return _remix(pool, size)[:count]

    def for_training(self, count: int) -> tuple[list[Any], Any]:
        """Up to `count` mixed batches to train on, and one more to judge by (the same one if there is only one)."""
        batches = self.mixed(count + 1)
        return batches[:-1] or batches, batches[-1]

    def _pass(self) -> Iterator[Any]:
        loader = self._loader
        if not isinstance(loader, DataLoader):
            yield from loader
        elif _indexable(loader):
            with preserved_generators(loader, loader.sampler, loader.batch_sampler):
                for chunk in _index_batches(loader):
                    yield _collate(loader, chunk)
        else:
            yield from DataLoader(
                loader.dataset,
                batch_size=loader.batch_size,
                collate_fn=loader.collate_fn,
                drop_last=loader.drop_last,
                generator=torch.Generator().manual_seed(self._seed),
            )


def batch_size(batch: Any) -> int:
    """How many items a batch holds: the first dimension of its first tensor.

    Raises:
        ExperimentError: there is no tensor in it.
    """
    for tensor in _tensors(batch):
        if tensor.dim():
            return int(tensor.shape[0])
    raise ExperimentError(f"A batch should hold tensors, but it is {describe(batch)}.")


def distinct_items(batch: Any, count: int) -> Any:
    """The first `count` items of the batch whose inputs differ: one input with two labels cannot be learned by heart."""
    size = batch_size(batch)
    inputs = batch[:-1] if isinstance(batch, list | tuple) and len(batch) > 1 else batch
    columns = [t.reshape(size, -1).cpu() for t in _tensors(inputs) if t.dim() and t.shape[0] == size]
    seen: dict[bytes, int] = {}
    for item in range(size):
        key = b"".join(column[item].contiguous().view(torch.uint8).numpy().tobytes() for column in columns)
        seen.setdefault(key, item)
    chosen = torch.tensor(list(seen.values())[:count])
    return map_tensors(batch, lambda t: t[chosen.to(t.device)] if t.dim() and t.shape[0] == size else t)


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`."""
    return map_tensors(batch, lambda t: t.to(device))


def map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A copy of a structure of tuples, lists, named tuples and mappings with its tensors changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(part, change) for part in value))
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(part, change) for part in value)
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for part in value.values() for tensor in _tensors(part))
    elif isinstance(value, list | tuple):
        yield from (tensor for part in value for tensor in _tensors(part))


def _indexable(loader: object) -> bool:
    return isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)


def _index_batches(loader: DataLoader[Any]) -> Iterator[list[int]]:
    """The indices of each batch, from a copy of the loader's sampler (the data set itself is not copied)."""
    sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    own = copy.deepcopy(sampler, {id(loader.dataset): loader.dataset, id(loader.generator): loader.generator})
    for chunk in own:
        yield list(chunk) if isinstance(chunk, Sequence) else [chunk]


def _collate(loader: DataLoader[Any], indices: Sequence[int]) -> Any:
    items = [loader.dataset[index] for index in indices]
    return loader.collate_fn(items) if loader.batch_sampler is not None else loader.collate_fn(items[0])


def _remix(pool: list[Any], size: int) -> list[Any]:
    """Items of all batches in the pool, in random order, in batches of `size`."""
    first = pool[0]
    if not isinstance(first, list | tuple) or not all(isinstance(part, torch.Tensor) for part in first):
        return pool
    columns = [torch.cat([batch[index] for batch in pool]) for index in range(len(first))]
    order = torch.randperm(len(columns[0]))
    return [type(first)(column[chunk] for column in columns) for chunk in order.split(size)]
