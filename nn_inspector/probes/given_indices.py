"""Sees what a loader's sampler gave for each batch, mostly the indices of its items, without asking the sampler itself."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import (
    _DatasetKind,
    _MultiProcessingDataLoaderIter,
    _SingleProcessDataLoaderIter,
)

_PLAIN = DataLoader._get_iterator


class Indices(Protocol):
    """Knows what the sampler gave.

    Attributes:
        latest: what it gave for the batch that came last; None where that is not known.
    """

    latest: Any


def numbered(given: Any) -> list[int] | None:
    """The indices of a batch's items in the data set, if what the sampler gave for it is a list of whole numbers.

    Example:
        >>> numbered([3, 1]), numbered(["a.png"]), numbered(None)
        ([3, 1], None, None)
    """
    is_known = isinstance(given, list) and all(isinstance(index, int) for index in given)
    return given if is_known else None


def iterate(loader: DataLoader[Any]) -> tuple[Iterator[Any], Indices]:
    """What a loader is iterated with, and what knows the indices of the batches that come of it.

    Not known are those of workers that hand out their batches as they are ready, or streams, and those of iterators of
    other libraries.
    """
    if loader.num_workers and type(loader)._get_iterator is _PLAIN and _is_in_order(loader):
        loader.check_worker_number_rationality()
        workers = _Workers(loader)
        return workers, workers
    iterator: Iterator[Any] = type(loader)._get_iterator(loader)
    return iterator, _Reader(iterator)


def _is_in_order(loader: DataLoader[Any]) -> bool:
    return getattr(loader, "in_order", True) and loader._dataset_kind == _DatasetKind.Map  # torch 2.4 knows no other


class _Reader:
    """Reads what the sampler gives to an iterator that makes its batches itself: one batch after the other."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.latest: Any = None
        self._iterator = weakref.ref(iterator)
        if isinstance(iterator, _SingleProcessDataLoaderIter):
            iterator._next_index = self._read  # type: ignore[method-assign]

    def _read(self) -> Any:
        iterator: Any = self._iterator()
        self.latest = type(iterator)._next_index(iterator)
        return self.latest


class _Workers(_MultiProcessingDataLoaderIter):
    """Torch's own iterator with workers. They are given their indices ahead of time, the first ones while it is made.

    Attributes:
        latest: what the sampler gave for the batch that came last.
    """

    def _reset(self, loader: DataLoader[Any], first_iter: bool = False) -> None:  # noqa: FBT002
        self.latest: Any = None
        self._given: dict[int, Any] = {}
        super()._reset(loader, first_iter)

    def _next_index(self) -> Any:
        index = super()._next_index()  # type: ignore[no-untyped-call]
        self._given[self._send_idx] = index
        return index

    def _next_data(self) -> Any:
        data = super()._next_data()  # type: ignore[no-untyped-call]
        self.latest = self._given.pop(self._rcvd_idx - 1, None)
        return data
