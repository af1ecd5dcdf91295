"""Which items of a data set a loader's sampler gives, without moving the sampler on."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sized
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.reach import reachable

_MOST_INDICES = 200_000


def index_batches(loader: DataLoader[Any]) -> Iterator[list[Any]]:
    """The indices of each batch of a new pass, from a copy of the loader's sampler.

    Raises:
        ExperimentError: the sampler cannot be copied.
    """
    sampler: Any = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    shared = {id(found): found for found in reachable(sampler) if isinstance(found, torch.Generator)}
    data = loader.dataset
    try:
        own = copy.deepcopy(sampler, {**shared, id(data): data})
    except Exception as error:
        raise ExperimentError(
            f"The sampler of train_loader cannot be copied ({type(error).__name__}), so its order cannot be read without "
            "moving it on. Check copy.deepcopy(train_loader.batch_sampler)."
        ) from error
    for chunk in own:
        yield [chunk] if loader.batch_sampler is None else list(chunk)


def all_indices(loader: DataLoader[Any]) -> list[Any]:
    """What the sampler gives in one pass, in its order, up to 200,000 indices; of torch's plain samplers, all."""
    data: Any = loader.dataset
    if _is_plain(loader) and isinstance(data, Sized):
        return list(range(len(data)))
    return list(itertools.islice(itertools.chain.from_iterable(index_batches(loader)), _MOST_INDICES))


def usual_size(loader: DataLoader[Any]) -> int:
    """How many items a batch of this loader has; 1 where the data set makes whole batches itself."""
    if loader.batch_size is not None:
        return loader.batch_size
    if loader.batch_sampler is None:
        return 1
    size = getattr(loader.batch_sampler, "batch_size", None)
    if isinstance(size, int) and size > 0:
        return size
    return max((len(chunk) for chunk in itertools.islice(index_batches(loader), 8)), default=1)


def item_sampler(loader: DataLoader[Any]) -> object:
    """What gives the order of the items; None if batches are put together by a sampler of the user's.

    With `batch_sampler=...`, the loader's own `sampler` is a sequential one that nobody asks.
    """
    if loader.batch_sampler is None:
        return loader.sampler
    return loader.batch_sampler.sampler if type(loader.batch_sampler) is BatchSampler else None


def _is_plain(loader: DataLoader[Any]) -> bool:
    sampler = item_sampler(loader)
    return type(sampler) is SequentialSampler or (type(sampler) is RandomSampler and not sampler.replacement)
