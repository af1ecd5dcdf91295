"""Sees which batches a loader hands out, and in which order, without drawing from any random generator.

A `DataLoader` looks up `_get_iterator` on the instance, so an attribute there can wrap the iterator; `__iter__` on the
instance would be ignored, and replacing sampler or data set is refused. Of a class of the user's the `__iter__` is wrapped
on the class, where Python looks it up; instances that are not watched pass through. A list of batches cannot be wrapped
and is left alone: the checks read it directly.
"""

from __future__ import annotations

import contextlib
import functools
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

from nn_inspector.probes.batches import Epoch
from nn_inspector.probes.given_indices import Indices, iterate
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Phase, Recorder
from nn_inspector.probes.training_thread import Sign

_WRITTEN_IN_PYTHON = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: a class that Python code has made."""


class LoaderWatch(Protocol):
    """Is told what a loader does."""

    def fetch(self) -> None:
        """It is about to make a batch."""

    def batch(self, role: Phase, batch: Any) -> None:
        """It hands out a batch."""

    def end(self, role: Phase) -> None:
        """It came to its end."""


def can_be_watched(loader: object) -> bool:
    """Whether the batches that a loader hands out can be seen: a `DataLoader`, or a class of somebody's own with `__iter__`.

    Example:
        >>> can_be_watched([1, 2]), can_be_watched(iter([1, 2]))
        (False, False)
    """
    if isinstance(loader, DataLoader):
        return True
    if isinstance(loader, Sequence | Mapping | torch.Tensor) or not isinstance(loader, Iterable):
        return False
    kind = type(loader)
    return bool(kind.__flags__ & _WRITTEN_IN_PYTHON) and isinstance(kind.__iter__, types.FunctionType | _ClassSource)


class LoaderProbe(Probe):
    """Watches one loader, see `can_be_watched`.

    Args:
        recorder: says which step it is.
        loader: the user's loader.
        role: what it is for.
        on_epoch: called with each new `Epoch`, which is then filled as the loader is read.
        watch: is told of each batch.

    Attributes:
        waited: seconds that the loop has waited for batches so far.
        given: what the sampler gave for the latest batch; None where that is not known.
    """

    name = "loader"

    def __init__(
        self,
        recorder: Recorder,
        loader: Iterable[Any],
        role: Phase,
        on_epoch: Callable[[Epoch], None],
        watch: LoaderWatch,
    ) -> None:
        super().__init__(recorder)
        self.role: Phase = role
        self.passes = 0
        self.waited = 0.0
        self.given: Any = None
        self._attached = False
        self._loader = loader
        self._on_epoch = on_epoch
        self._watch = watch

    def attach(self) -> None:
        source = _source_of(self._loader) or _new_source(self._loader)
        source.probes.add(self)
        self._attached = True

    @property
    def lost(self) -> bool:
        source = _source_of(self._loader)
        return self._attached and not (source is not None and self in source.probes)

    def detach(self) -> None:
        self._attached = False
        source = _source_of(self._loader)
        if source is not None:
            source.probes.discard(self)
            if not source.probes:
                source.remove(self._loader)

    def is_of(self, loader: object) -> bool:
        """Whether it is this one that is watched."""
        return loader is self._loader

    @property
    def listens(self) -> bool:
        """Whether it is to be told of what the loader does now."""
        return not self.failure and not self.recorder.suspended

    def begin(self) -> Epoch:
        """A new pass over the loader begins."""
        epoch = Epoch(self.role, self.passes, self.recorder.step)
        self.passes += 1
        self._on_epoch(epoch)
        return epoch

    def fetch(self) -> None:
        """The loader is about to make a batch, or to start its workers."""
        if self.recorder.thread.admits():
            with self._safely():
                self._watch.fetch()

    def observe(self, epoch: Epoch, batch: Any) -> None:
        """The loader hands out a batch; a thread that only fetches them for another is not the loop."""
        is_loop = self.recorder.thread.admits(Sign.BATCH if self.role == "train" else None)
        with self._safely():
            epoch.add(batch)
            if is_loop:
                self._watch.batch(self.role, batch)

    def end(self, epoch: Epoch) -> None:
        """The pass came to its end."""
        with self._safely():
            epoch.complete = True
            if self.recorder.thread.admits():
                self._watch.end(self.role)

    @contextlib.contextmanager
    def _safely(self) -> Iterator[None]:
        clock = self.recorder.schedule if self.recorder.thread.is_here else None
        if clock is not None:
            clock.start()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.fail(error)
        finally:
            if clock is not None:
                clock.stop()


class _IteratorSource:
    """Stands where the loader's `_get_iterator` was. A copy of the loader gets the plain method back.

    Attributes:
        probes: those that watch this loader; two models may be trained on one.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.probes: weakref.WeakSet[LoaderProbe] = weakref.WeakSet()
        self._loader = weakref.ref(loader)

    def __call__(self) -> Iterator[Any]:
        loader = self._loader()
        assert loader is not None, "a loader that is iterated is alive"
        watching = [probe for probe in self.probes if probe.listens]
        for probe in watching:
            probe.fetch()
        iterator, indices = iterate(loader)
        for probe in watching:
            iterator = _ObservedIterator(iterator, probe, indices)
        return iterator

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return types.MethodType(DataLoader._get_iterator, memo[id(self._loader())])

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._loader(), "_get_iterator")  # of the loader being rebuilt: it has no attributes yet

    def remove(self, loader: Any) -> None:
        """Nobody watches any more."""
        del loader.__dict__["_get_iterator"]


class _ClassSource:
    """Stands where `__iter__` of a class was. What is pickled with the class is the plain method.

    Attributes:
        probes: those that watch an instance of it.
    """

    def __init__(self, kind: type) -> None:
        self.probes: weakref.WeakSet[LoaderProbe] = weakref.WeakSet()
        self._is_inherited = "__iter__" not in kind.__dict__
        self._iterate: Callable[[Any], Iterator[Any]] = kind.__iter__  # type: ignore[attr-defined]  # can_be_watched() asked
        functools.update_wrapper(self, self._iterate)

    def __get__(self, loader: Any, kind: type | None = None) -> Any:
        return self if loader is None else types.MethodType(self, loader)

    def __call__(self, loader: Any) -> Iterator[Any]:
        watching = [probe for probe in self.probes if probe.is_of(loader) and probe.listens]
        for probe in watching:
            probe.fetch()
        iterator = self._iterate(loader)
        for probe in watching:
            iterator = _ObservedIterator(iterator, probe)
        return iterator

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partialmethod, (self._iterate,)

    def remove(self, loader: Any) -> None:
        """Nobody watches any more."""
        if self._is_inherited:
            del type(loader).__iter__
        else:
            type(loader).__iter__ = self._iterate


def _source_of(loader: Any) -> _IteratorSource | _ClassSource | None:
    """What was put in the place of a loader's method."""
    if isinstance(loader, DataLoader):
        source = loader.__dict__.get("_get_iterator")
    else:
        source = type(loader).__dict__.get("__iter__")
    return source if isinstance(source, _IteratorSource | _ClassSource) else None


def _new_source(loader: Any) -> _IteratorSource | _ClassSource:
    if isinstance(loader, DataLoader):
        source = loader.__dict__["_get_iterator"] = _IteratorSource(loader)
        return source
    own = _ClassSource(type(loader))
    type(loader).__iter__ = own
    return own


class _ObservedIterator:
    """The loader's own iterator, with someone looking over its shoulder."""

    def __init__(self, iterator: Iterator[Any], probe: LoaderProbe, indices: Indices | None = None) -> None:
        self._iterator = iterator
        self._probe = probe
        self._indices = indices
        self._epoch: Epoch | None = None

    def __iter__(self) -> _ObservedIterator:
        return self

    def __len__(self) -> int:
        return len(self._iterator)  # type: ignore[arg-type]  # torch's iterators have a length

    def __next__(self) -> Any:
        if self._epoch is None:
            self._epoch = self._probe.begin()
        epoch = self._epoch
        self._probe.fetch()
        begin = time.perf_counter()
        try:
            batch = next(self._iterator)
        except StopIteration:
            self._probe.end(epoch)
            raise
        self._probe.waited += time.perf_counter() - begin
        self._probe.given = None if self._indices is None else self._indices.latest
        self._probe.observe(epoch, batch)
        return batch

    def __getattr__(self, name: str) -> Any:
        if name == "_iterator":  # a copy in the making has none yet
            raise AttributeError(name)
        return getattr(self._iterator, name)

    def _reset(self, loader: DataLoader[Any], first_iter: bool = False) -> None:  # noqa: FBT002
        """Persistent workers: the same iterator starts over."""
        self._epoch = None
        self._iterator._reset(loader, first_iter)  # type: ignore[attr-defined]
