"""Batches of the user's data for experiments, drawn without iterating the user's loader."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.errors import ArgumentError, ExperimentError, InspectorError, describe_error
from nn_inspector.experiments.batch_contents import batch_size, check_count, tensors_of
from nn_inspector.experiments.indices import all_indices, index_batches, usual_size
from nn_inspector.experiments.preserved_state import preserved_state
from nn_inspector.experiments.random_state import preserved_random_state
from nn_inspector.experiments.remix import remix
from nn_inspector.experiments.streams import refuse_one_shot
from nn_inspector.experiments.time_limit import latest

_POOL = 64
"""Where items cannot be drawn one by one, they are mixed within so many batches."""

_MOST_BYTES = 1 << 29
"""Batches drawn at once take no more memory than this, but for the first one."""


class BatchSource:
    """Draws batches from a loader's data set, as the loader would or mixed at random.

    The loader is not iterated: no worker starts and no probe sees it. What reading changes (generators, also those that
    hang on the data set, counters, positions in files) is put back, see `preserved_state`.

    Args:
        loader: a `DataLoader`, a sequence of batches, or an iterable that can be iterated more than once.
        seed: for what is drawn at random.
        seconds: after so much time, what is drawn at once ends early, but never before its first batch.

    Raises:
        ArgumentError: the time is no number above 0.
        ExperimentError: the loader is missing, or can be read only once.
    """

    def __init__(self, loader: Iterable[Any] | None, *, seed: int = 0, seconds: float = math.inf) -> None:
        if loader is None:
            raise ExperimentError("There is no train_loader to take data from. Pass train_loader=... to watch().")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ArgumentError("seconds", expected="seconds above 0", got=repr(seconds), advice="10.0 is usual.")
        refuse_one_shot(loader)
        self._loader = loader
        self._seed = seed
        self._seconds = seconds

    def as_loaded(self, count: int) -> list[Any]:
        """The first `count` batches in the order in which the loader hands them out (fewer if it is shorter).

        A rest of one item is left out where the others have more: batch normalization cannot train on it.
        """
        check_count("count", count)
        return self._draw(self._pass, count, keep_rest=True)

    def mixed(self, count: int, size: int | None = None) -> list[Any]:
        """`count` batches of one size, of items drawn at random without repetition; fewer if the data run out.

        A rest that would make a smaller batch is left out, unless there is no other.

        Args:
            count: how many batches.
            size: items in each; as many as the loader's own batches have if None.
        """
        check_count("count", count)
        if size is not None:
            check_count("size", size)
        return self._draw(lambda: self._mixed(count, size), count)

    def one_by_one(self, count: int) -> tuple[Any, list[Any]]:
        """A batch of `count` items, and each of them as a batch of its own, put together by the loader's own collate function.

        Raises:
            ExperimentError: the data are no `DataLoader` of items that can be asked for by their number.
        """
        check_count("count", count)
        loader, chosen = self._indexed(count)
        alone = ([index] for index in chosen)
        whole, *singles = self._draw(lambda: iter([[_collate(loader, one) for one in (chosen, *alone)]]), 1)[0]
        return whole, singles

    def drawn_again(self, size: int, times: int = 2) -> list[Any]:
        """One batch of the same items, drawn several times: what an augmentation does to them differs.

        Args:
            size: items in it, from all over the data; fewer if there are no more.
            times: how often.

        Raises:
            ExperimentError: the data are no `DataLoader` of items that can be asked for by their number.
        """
        loader, chosen = self._indexed(size)
        return self._draw(lambda: (_collate(loader, chosen) for _ in range(times)), times, keep_rest=True)

    def _indexed(self, count: int) -> tuple[DataLoader[Any], list[Any]]:
        """The loader, and numbers of items from all over its data set; fewer if there are no more."""
        loader = self._loader
        if (
            not isinstance(loader, DataLoader)
            or isinstance(loader.dataset, IterableDataset)
            or loader.batch_sampler is None
        ):
            raise ExperimentError("Items can be drawn again only where the loader's data set has them by their number.")
        indices = all_indices(loader)
        return loader, indices[:: max(1, len(indices) // count)][:count]

    def chosen(self, indices: Sequence[Any]) -> Any:
        """The items of these numbers as one batch.

        Raises:
            ExperimentError: the data are no `DataLoader`, or cannot be read.
        """
        loader = self._loader
        if not isinstance(loader, DataLoader):
            raise ExperimentError("Items can be chosen only where there is a DataLoader.")
        return self._draw(lambda: iter([_collate(loader, indices)]), 1, keep_rest=True)[0]

    def for_training(self, count: int) -> tuple[list[Any], Any]:
        """Up to `count` mixed batches to train on, and one more to judge by (the same one if there is only one)."""
        check_count("count", count)
        batches = self.mixed(count + 1)
        return batches[:-1] or batches, batches[-1]

    def _draw(self, batches: Callable[[], Iterator[Any]], count: int, *, keep_rest: bool = False) -> list[Any]:
        loader = self._loader
        parts = ("dataset", "sampler", "batch_sampler", "collate_fn", "generator")
        roots = [getattr(loader, part) for part in parts] if isinstance(loader, DataLoader) else [loader]
        try:
            with preserved_random_state(self._seed), preserved_state(*roots):
                drawn = list(self._limited(batches(), count))
        except InspectorError:
            raise
        except Exception as error:
            raise ExperimentError(
                f"The data of train_loader could not be read ({describe_error(error)}). It is read in this process, "
                "without workers. Check one item: train_loader.dataset[0]."
            ) from error
        if not drawn:
            raise ExperimentError("The train_loader gave no batch.")
        return _without_rest(drawn, keep_rest)

    def _limited(self, batches: Iterator[Any], count: int) -> Iterator[Any]:
        deadline, taken = latest(self._seconds), 0
        for batch in itertools.islice(batches, count):
            yield batch
            taken += sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(batch))
            if taken > _MOST_BYTES or time.monotonic() > deadline:
                return

    def _mixed(self, count: int, size: int | None) -> Iterator[Any]:
        loader = self._loader
        if isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset):
            size = size or usual_size(loader)
            if loader.batch_sampler is None:
                size = 1
            indices = all_indices(loader)
            order = torch.randperm(len(indices)).tolist()[: count * size]
            for start in range(0, len(order), size):
                yield _collate(loader, [indices[place] for place in order[start : start + size]])
        elif isinstance(loader, Sequence):
            chosen = torch.randperm(len(loader)).tolist()[: max(_POOL, count)]
            yield from remix([loader[place] for place in chosen], size)
        else:
            yield from remix(list(self._limited(self._pass(), max(_POOL, count))), size)

    def _pass(self) -> Iterator[Any]:
        loader = self._loader
        if not isinstance(loader, DataLoader):
            yield from loader
        elif not isinstance(loader.dataset, IterableDataset):
            for chunk in index_batches(loader):
                yield _collate(loader, chunk)
        else:
            yield from DataLoader(
                loader.dataset,
                batch_size=loader.batch_size,
                collate_fn=loader.collate_fn,
                drop_last=loader.drop_last,
                generator=torch.Generator().manual_seed(self._seed),
            )


def _collate(loader: DataLoader[Any], indices: Sequence[Any]) -> Any:
    """As torch's own fetcher does it."""
    data: Any = loader.dataset
    if loader.batch_sampler is None:
        return loader.collate_fn(data[indices[0]])
    fetch = getattr(data, "__getitems__", None)
    return loader.collate_fn(fetch(list(indices)) if fetch else [data[index] for index in indices])


def _without_rest(batches: list[Any], keep_rest: bool) -> list[Any]:
    """Without batches of a single item where others have more, and unless `keep_rest` without a last one that is smaller."""
    try:
        sizes = [batch_size(batch) for batch in batches]
    except ExperimentError:
        return batches
    largest = max(sizes)
    if not largest:
        raise ExperimentError("The batches of train_loader hold no items: their first axis has length 0.")
    full = [batch for batch, size in zip(batches, sizes, strict=True) if size > 1 or largest == 1]
    rest = not keep_rest and len(full) > 1 and 1 < sizes[-1] < sizes[0]
    return full[:-1] if rest else full
