"""Whatever an experiment calls of the user's is put back: generators, attributes, containers, positions in files."""

from __future__ import annotations

import contextlib
import io
import random
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nn_inspector.experiments.belongings import same_values
from nn_inspector.experiments.reach import attributes, left_alone, reachable
from nn_inspector.stats import is_dense

_LONGEST = 100_000
_MOST_BYTES = 1 << 16

_GENERATORS = (torch.Generator, np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)

Restore = Callable[[], None]


@contextlib.contextmanager
def preserved_state(*roots: object) -> Iterator[None]:
    """Put back, when the block ends, what the block changed in objects that can be reached from `roots`.

    These are: random generators; attributes, as far as they are bound to other objects then; lists, dicts, sets and
    deques of up to 100,000 entries; arrays and tensors of up to 64 KiB, 16 MiB in all; positions in files. What did not
    change is not written to.
    """
    room = _Room()
    with contextlib.ExitStack() as restores:  # one that fails does not keep the others from being made
        for found in reachable(*roots):
            restore = _snapshot(found, room)
            if restore is not None:
                restores.callback(restore)
        yield


def generators_of(*roots: object) -> list[object]:
    """The random generators that can be reached from `roots`."""
    return [found for found in reachable(*roots) if isinstance(found, _GENERATORS)]


@dataclass(slots=True)
class _Room:
    """Bytes that copies of arrays may still take."""

    left: int = 16 << 20

    def take(self, size: int) -> bool:
        if size > min(_MOST_BYTES, self.left):
            return False
        self.left -= size
        return True


def _snapshot(found: Any, room: _Room) -> Restore | None:
    if left_alone(found):
        return None
    if isinstance(found, np.ndarray):
        return _of_array(found) if room.take(found.nbytes) else None
    if isinstance(found, torch.Tensor):
        return _of_tensor(found) if room.take(found.numel() * found.element_size()) else None
    for kind, take in _TAKERS:
        if isinstance(found, kind):
            return take(found)
    return _of_dict(attributes(found))


def _of_dict(held: MutableMapping[Any, Any]) -> Restore | None:
    if len(held) > _LONGEST:
        return None
    before = dict(held)

    def restore() -> None:
        if list(held) == list(before) and all(held[key] is value for key, value in before.items()):
            return
        held.clear()
        held.update(before)

    return restore


def _of_list(held: list[Any] | deque[Any]) -> Restore | None:
    if len(held) > _LONGEST:
        return None
    before = list(held)

    def restore() -> None:
        if len(held) != len(before) or any(a is not b for a, b in zip(held, before, strict=True)):
            held.clear()
            held.extend(before)

    return restore


def _of_set(held: set[Any]) -> Restore | None:
    if len(held) > _LONGEST:
        return None
    before = set(held)

    def restore() -> None:
        if held != before:
            held.clear()
            held.update(before)

    return restore


def _of_array(array: np.ndarray) -> Restore | None:
    if array.dtype.hasobject or not array.flags.writeable:
        return None
    before = array.copy()

    def restore() -> None:
        if array.shape == before.shape and array.tobytes() != before.tobytes():
            array[...] = before

    return restore


def _of_tensor(tensor: torch.Tensor) -> Restore | None:
    if tensor.requires_grad or tensor.is_inference() or not is_dense(tensor) or tensor.is_meta:
        return None
    before = tensor.detach().clone()

    def restore() -> None:
        if tensor.shape == before.shape and not same_values(tensor.detach(), before):
            with torch.no_grad():
                tensor.copy_(before)

    return restore


def _of_torch_generator(generator: torch.Generator) -> Restore:
    state = generator.get_state()
    return lambda: _ignore(generator.set_state(state))


def _of_numpy_generator(generator: np.random.Generator | np.random.BitGenerator) -> Restore:
    bits: Any = generator.bit_generator if isinstance(generator, np.random.Generator) else generator
    state = bits.state

    def restore() -> None:
        bits.state = state

    return restore


def _of_numpy_random_state(generator: np.random.RandomState) -> Restore:
    state = generator.get_state()
    return lambda: generator.set_state(state)


def _of_python_generator(generator: random.Random) -> Restore | None:
    try:
        state = generator.getstate()
    except NotImplementedError:  # random.SystemRandom has none
        return None
    return lambda: generator.setstate(state)


def _of_file(file: io.IOBase) -> Restore | None:
    try:
        position = file.tell()
    except (OSError, ValueError):  # it is closed, has no position, or is being iterated
        return None

    def restore() -> None:
        if not file.closed:
            file.seek(position)

    return restore


def _ignore(value: object) -> None:
    """For a function that returns what nobody needs."""


_TAKERS: tuple[tuple[Any, Callable[[Any], Restore | None]], ...] = (
    (dict, _of_dict),
    (list | deque, _of_list),
    (set, _of_set),
    (torch.Generator, _of_torch_generator),
    (np.random.Generator | np.random.BitGenerator, _of_numpy_generator),
    (np.random.RandomState, _of_numpy_random_state),
    (random.Random, _of_python_generator),
    (io.IOBase, _of_file),
)
