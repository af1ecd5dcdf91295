"""What is known of the values of a pass: where each comes from, and how it is handed on as data."""

from __future__ import annotations

import enum
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import BackwardCFunction

from nn_inspector.probes.outputs import all_tensors
from nn_inspector.probes.structure import Path, follow, places
from nn_inspector.probes.tape import Altered, BatchPart, Built, Foreign, Input, Named, Ref, Slice, Unknown

HANDS_ON = "The loop hands a tensor from one step on to the next."

MOST_FOREIGN_BYTES = 1 << 20
_LONGEST = 4096

_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range, frozenset, type, torch.dtype, torch.device,
    torch.layout, torch.memory_format, enum.Enum, np.generic, types.FunctionType, types.BuiltinFunctionType,
)  # fmt: skip


@dataclass(slots=True)
class Value:
    """What is known of a value while it is being noted.

    Attributes:
        needs_grad: whether it needed a gradient when it was last seen.
        reaches: whether a gradient gets from it to the model's parameters.
        storage: the memory it lives in.
        bytes: its size.
        opaque: whether a module returned it.
        of_data: whether it depends on the batch or the model.
        leaf: whether autograd knows nothing of how it was made, when it was last seen.
        taught: whether it depends on weights of another network.
        source: where it comes from, if it is no result.
        problem: why it cannot be made again, if so.
    """

    needs_grad: bool
    reaches: bool
    storage: int
    bytes: int
    of_data: bool = True
    leaf: bool = False
    taught: bool = False
    opaque: bool = False
    source: Input | None = None
    problem: str | None = None


class KnownValues:
    """The values of a pass, numbered in the order in which they are met.

    Args:
        named: parameters and buffers of model and loss, by identity.
        before: tensors that were made in the pass before, by identity.
        has_batch: whether the pass works on a batch of a loader.

    Attributes:
        values: what is known of each.
        objects: the batch's and the model's own objects by number, until the pass is over.
        batch: the batch, once it is known.
        items: how many items it has.
        given: of a pass without a batch, the tensors that were handed to what is being noted, by number.
    """

    def __init__(
        self,
        named: Mapping[int, tuple[torch.Tensor, Named]],
        before: Mapping[int, weakref.ref[torch.Tensor]],
        *,
        has_batch: bool,
    ) -> None:
        self._named = named
        self._before = before
        self._has_batch = has_batch
        self._known: dict[int, tuple[Callable[[], Any], int]] = {}
        self._contents: dict[int, list[tuple[Path, int]]] = {}
        self._foreign_bytes = 0
        self.values: list[Value] = []
        self.objects: dict[int, Any] = {}
        self.batch: Any = None
        self.items = 0
        self.given: dict[int, torch.Tensor] = {}

    def set_batch(self, batch: Any) -> None:
        """This is the batch that the pass works on."""
        self.batch = batch
        tensors = []
        for path, found in places(batch):
            self.objects[self.define(found, source=BatchPart(path))] = found
            if isinstance(found, torch.Tensor | np.ndarray):
                tensors.append(found)
        self.items = next((len(found) for found in tensors if found.ndim), 0)

    def number_of(self, found: Any) -> int | None:
        """The number of an object that is known."""
        known = self._known.get(id(found))
        return known[1] if known is not None and known[0]() is found else None

    def define(self, found: Any, *, source: Input | None = None, reaches: bool = False, of_data: bool = True) -> int:
        """Give an object that is met for the first time its number."""
        number = len(self.values)
        is_tensor = isinstance(found, torch.Tensor)
        needs = is_tensor and found.requires_grad
        storage, size = (storage_of(found), found.numel() * found.element_size()) if is_tensor else (id(found), 0)
        reaches = reaches and (needs if is_tensor else any(one.requires_grad for one in all_tensors(found)))
        leaf = is_tensor and found.is_leaf
        self.values.append(Value(needs, reaches, storage, size, of_data, leaf, source=source))
        self._known[id(found)] = _holder(found), number
        if not is_tensor and not isinstance(found, np.ndarray):
            self._contents[number] = _contents(found)
        return number

    def is_parameter(self, found: torch.Tensor) -> bool:
        """Whether a tensor is a parameter or buffer of the model or the loss."""
        named = self._named.get(id(found))
        return named is not None and named[0] is found

    def is_weight(self, found: torch.Tensor) -> bool:
        """Whether a tensor is a parameter or buffer of the model."""
        return self.is_parameter(found) and self._named[id(found)][1].owner == "model"

    def tensor(self, found: torch.Tensor) -> int:
        """The number of a tensor; one that is not known comes from elsewhere."""
        number = self._number_of_tensor(found)
        if not self._has_batch:
            self.given[number] = found
        return number

    def _number_of_tensor(self, found: torch.Tensor) -> int:
        number = self.number_of(found)
        if number is not None:
            value = self.values[number]
            own = isinstance(found.grad_fn, BackwardCFunction) and not value.opaque
            if (own or value.needs_grad != found.requires_grad) and value.problem is None:
                value.problem = "The loss goes through a function with a gradient of its own making."
            return number
        if self.is_parameter(found):
            named = self._named[id(found)][1]
            number = self.define(found, source=named, reaches=named.owner == "model")
            self.objects[number] = found
            return number
        number = self.define(found, source=self._foreign(found), of_data=False)
        self.values[number].problem = self._problem_of_foreign(found)
        self.values[number].taught = isinstance(found, nn.Parameter)
        return number

    def _problem_of_foreign(self, found: torch.Tensor) -> str | None:
        earlier = self._before.get(id(found))
        if earlier is not None and earlier() is found:
            return HANDS_ON
        if found.grad_fn is not None:
            return "A tensor takes part that was computed earlier, or by code that torch does not report."
        return None

    def _foreign(self, found: torch.Tensor) -> Foreign:
        foreign = Foreign.of(found, room=MOST_FOREIGN_BYTES - self._foreign_bytes if self._has_batch else 0)
        self._foreign_bytes += foreign.size
        return foreign

    def touch(self, tensor: torch.Tensor) -> None:
        """A tensor was changed in place: whether it needs a gradient may be another matter now."""
        number = self.number_of(tensor)
        if number is not None:
            self.values[number].needs_grad = tensor.requires_grad
            self.values[number].leaf = tensor.is_leaf

    def is_of_data(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor depends on the batch or the model, as far as is known."""
        number = self.number_of(tensor)
        return number is None or self.values[number].of_data

    def is_known_of_data(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor that was seen being made depends on the batch or the model."""
        number = self.number_of(tensor)
        return number is not None and self.values[number].of_data

    def alias(self, new: Any, old: torch.Tensor) -> None:
        """From now on `new` counts as `old`."""
        number = self.number_of(old)
        if number is not None:
            self._known[id(new)] = _holder(new), number

    def encode(self, value: Any) -> Any:
        """An argument as data."""
        if isinstance(value, torch.Tensor):
            return Ref(self.tensor(value))
        known = self.number_of(value) if not isinstance(value, _PLAIN) else None
        if known is not None:
            return self._container(value, known)
        if isinstance(value, slice):
            return Slice(self.encode(value.start), self.encode(value.stop), self.encode(value.step))
        if isinstance(value, torch.Generator):
            return None
        if isinstance(value, np.ndarray):
            return self._array(value)
        return self._compound(value)

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.kind not in "biuf":
            return Unknown("It is handed an array of something else than numbers.")
        return Ref(self.define(value, source=self._foreign(torch.from_numpy(value.copy()))))

    def _compound(self, value: Any) -> Any:
        encoded: Any
        if isinstance(value, list | tuple) and len(value) > _LONGEST:
            encoded = Unknown(f"It is handed a list of {len(value)} entries.")
        elif hasattr(value, "_fields"):
            encoded = Built(type(value), tuple(self.encode(getattr(value, name)) for name in value._fields))
        elif isinstance(value, list):
            encoded = [self.encode(part) for part in value]
        elif isinstance(value, tuple):
            encoded = tuple(self.encode(part) for part in value)
        elif isinstance(value, Mapping):
            encoded = {key: self.encode(part) for key, part in value.items()}
        elif isinstance(value, _PLAIN):
            encoded = value
        else:
            encoded = self._like_the_batch(value)
        return encoded

    def _container(self, value: Any, number: int) -> Any:
        before, now = self._contents.get(number, []), _contents(value)
        if before == now:
            return Ref(number)
        if isinstance(value, list | tuple | dict):
            return self._compound(value)
        old = dict(before)
        changed = [path for path, identity in now if old.get(path) != identity]
        if any(len(path) != 1 for path in changed) or len(now) < len(before):
            return Unknown(f"The loop changes an object of type {type(value).__name__} that it hands on.")
        parts = tuple((path[0], self.encode(follow(value, path))) for path in changed)
        return Altered(Ref(number), parts)

    def _like_the_batch(self, value: Any) -> Any:
        """An object made anew that is of the batch's own kind: `batch.to(device)`."""
        if self.batch is None or type(value) is not type(self.batch):
            return Unknown(f"It is handed an object of type {type(value).__name__}.")
        parts = _contents(value)
        number = self.number_of(self.batch)
        if number is None or any(len(path) != 1 for path, _ in parts):
            return Unknown(f"It is handed an object of type {type(value).__name__}.")
        return Altered(Ref(number), tuple((path[0], self.encode(follow(value, path))) for path, _ in parts))


def storage_of(tensor: torch.Tensor) -> int:
    """A number for the memory that a tensor lives in."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):  # sparse and other layouts have none
        return id(tensor)


def _holder(found: Any) -> Callable[[], Any]:
    if isinstance(found, torch.Tensor | np.ndarray):
        return weakref.ref(found)
    return lambda: found


def _contents(held: Any) -> list[tuple[Path, int]]:
    if isinstance(held, list) and not any(isinstance(part, torch.Tensor) for part in held[:_LONGEST]):
        return [((("item", index),), id(part)) for index, part in enumerate(held[:_LONGEST])]
    return [(path, id(part)) for path, part in places(held) if path and isinstance(part, torch.Tensor | np.ndarray)]
