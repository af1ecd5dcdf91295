"""One pass of a loop from a batch to backward(), as it is being noted."""

from __future__ import annotations

import enum
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import BackwardCFunction

from nn_inspector.probes.outputs import all_tensors
from nn_inspector.probes.structure import Path, follow, places
from nn_inspector.probes.tape import (
    Altered,
    BatchPart,
    Built,
    Foreign,
    Input,
    ModuleCall,
    Named,
    Operation,
    Ref,
    Slice,
    Unknown,
    refs,
)

HANDS_ON = "The loop hands a tensor from one step on to the next."

MOST_OPERATIONS = 4000
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


class Draft:
    """The values and operations noted so far.

    Args:
        named: parameters and buffers of model and loss, by identity.
        late: whether the beginning was not seen.
        before: tensors that were made in the pass before, by identity.
        has_batch: whether the pass works on a batch of a loader. Else what enters it is held until it is over, see `entered`.

    Attributes:
        made: the tensors that were made in this pass, by identity.
        batch: the batch, once it is known.
        items: how many items it has.
        asked_size: whether the loop asked for a size that is the number of items.
        problem: why the whole of it cannot be made again.
        decides: whether the loop decides what to do by values that it looks at.
        reads_numbers: whether the loop takes numbers out of tensors that depend on the batch or the model.
        reads_answers: whether it takes them out of what the model answered before it computes the loss.
        samples_answers: whether it draws something without a gradient from what the model answered, such as an action.
        entered: tensors without a past that something with a gradient was computed with, by number, and how often each had been
            changed then; of a pass without a batch.
        closed: whether the pass is over: weights have changed after backward().
        objectives: numbers of what backward() was called on, and how many operations came before.
        objects: the batch's and the model's own objects by number, until the pass is over.
        given_results: what operations returned whose results are taken as they came, by identity of the operation.
    """

    def __init__(
        self,
        named: Mapping[int, tuple[torch.Tensor, Named]],
        *,
        late: bool,
        before: Mapping[int, weakref.ref[torch.Tensor]] = MappingProxyType({}),
        has_batch: bool = True,
    ) -> None:
        self._named = named
        self._has_batch = has_batch
        self._before = before
        self.made: dict[int, weakref.ref[torch.Tensor]] = {}
        self._known: dict[int, tuple[Callable[[], Any], int]] = {}
        self._contents: dict[int, list[tuple[Path, int]]] = {}
        self.objects: dict[int, Any] = {}
        self.given_results: dict[int, Any] = {}
        self._foreign_bytes = 0
        self._read: dict[tuple[type, float], int] = {}
        self._weights: frozenset[int] | None = None
        self.late = late
        self.values: list[Value] = []
        self.operations: list[Operation] = []
        self.batch: Any = None
        self.items = 0
        self.asked_size = False
        self.problem: str | None = None
        self.decides = False
        self.reads_numbers = False
        self.reads_answers = False
        self.samples_answers = False
        self.entered: dict[int, tuple[torch.Tensor, int]] = {}
        self._given: dict[int, torch.Tensor] = {}
        self.closed = False
        self.objectives: list[tuple[int, int]] = []

    def set_batch(self, batch: Any) -> None:
        """This is the batch that the pass works on."""
        self.batch = batch
        tensors = []
        for path, found in places(batch):
            self.objects[self._define(found, source=BatchPart(path))] = found
            if isinstance(found, torch.Tensor | np.ndarray):
                tensors.append(found)
        self.items = next((len(found) for found in tensors if found.ndim), 0)

    # values

    def number_of(self, found: Any) -> int | None:
        """The number of an object that is known."""
        known = self._known.get(id(found))
        return known[1] if known is not None and known[0]() is found else None

    def _define(self, found: Any, *, source: Input | None = None, reaches: bool = False, of_data: bool = True) -> int:
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
            self._given[number] = found
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
            number = self._define(found, source=named, reaches=named.owner == "model")
            self.objects[number] = found
            return number
        number = self._define(found, source=self._foreign(found), of_data=False)
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

    # arguments

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
        return Ref(self._define(value, source=self._foreign(torch.from_numpy(value.copy()))))

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

    # operations

    def note(
        self,
        call: Callable[..., Any] | ModuleCall,
        name: str,
        given: tuple[Any, Any],
        result: Any,
        *,
        written: tuple[torch.Tensor, ...] = (),
        keep: bool = False,
        draws: bool = False,
    ) -> None:
        """Note a call.

        Args:
            call: what was called.
            name: its plain name.
            given: its arguments, as data.
            result: what it returned.
            written: tensors that it changed in place.
            keep: whether its results are taken as they are when the program is checked.
            draws: whether it has drawn random numbers.
        """
        if len(self.operations) >= MOST_OPERATIONS:
            self.problem = "The loss is computed by too many calls."
            return
        if any(map(self._in_weights, written)):
            self._close()
            return
        numbers = {number for part in given for number in refs(part)}
        is_model = isinstance(call, ModuleCall) and call.owner == "model"
        reaches = is_model or any(self.values[number].reaches for number in numbers)
        of_data = is_model or any(self.values[number].of_data for number in numbers)
        taught = any(self.values[number].taught for number in numbers)
        self._enter(numbers, (result, written), is_model=is_model)
        changed = {number for number in map(self.number_of, written) if number is not None}
        for tensor in written:
            self._update(tensor, reaches=reaches, of_data=of_data)
        results: list[tuple[Path, int]] = []
        for path, found in places(result):
            number = self.number_of(found)
            if number is None or (path and not isinstance(found, torch.Tensor)):
                number = self._define(found, reaches=reaches, of_data=of_data)
                self.values[number].opaque = isinstance(call, ModuleCall)
                self.values[number].taught = taught
                results.append((path, number))
                if isinstance(found, torch.Tensor):
                    self.made[id(found)] = weakref.ref(found)
            elif path or not written:
                results.append((path, number))
        grad, autocast = torch.is_grad_enabled(), _autocast()
        operation = Operation(
            call, name, *given, tuple(results), grad, autocast, frozenset(changed), given=keep, draws=draws
        )
        self.operations.append(operation)
        if keep:
            self.given_results[id(operation)] = result

    def _enter(self, numbers: set[int], made: object, *, is_model: bool) -> None:
        """Hold what enters a pass without a batch here: it may be overwritten when the step is over."""
        given, self._given = self._given, {}
        if self._has_batch or not (is_model or any(one.requires_grad for one in all_tensors(made))):
            return
        if is_model and not self.items:
            self.items = next((len(one) for one in given.values() if one.dim()), 0)
        for number, tensor in given.items():
            trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
            if number in numbers and tensor.is_leaf and not trained and not self.is_parameter(tensor):
                self.entered.setdefault(number, (tensor, tensor._version))

    def read(self, call: Callable[..., Any], name: str, tensor: torch.Tensor, result: Any) -> None:
        """Note that a number, or a list of them, was taken out of a tensor: it may be used in what follows."""
        if isinstance(result, list):
            self.note(call, name, ((self.encode(tensor),), {}), result)
        elif self.is_of_data(tensor) and isinstance(result, int | float):
            number = len(self.values)
            self.values.append(Value(needs_grad=False, reaches=False, storage=-1, bytes=0))
            self._read[type(result), result] = number
            given = (self.encode(tensor),)
            self.operations.append(Operation(call, name, given, {}, (((), number),), torch.is_grad_enabled()))

    def with_numbers(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of a product or quotient with numbers that were taken out of tensors marked as such."""
        marked = []
        for arg in args:
            is_number = isinstance(arg, int | float) and not isinstance(arg, bool)
            number = self._read.get((type(arg), arg)) if is_number else None
            marked.append(arg if number is None else Ref(number))
        return tuple(marked)

    def _close(self) -> None:
        """The weights change: after backward() that is the optimizer's step, before the batch the end of the last one."""
        if self.batch is not None or (self.objectives and not self._has_batch):
            self.closed = True
            if not self.objectives:
                self.problem = "The loop changes weights before it computes the loss."

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

    def _update(self, tensor: torch.Tensor, *, reaches: bool, of_data: bool) -> None:
        number = self.number_of(tensor)
        if number is None:
            return
        value = self.values[number]
        value.of_data |= of_data
        value.reaches = (value.reaches or reaches) and tensor.requires_grad

    def _in_weights(self, tensor: torch.Tensor) -> bool:
        if self._weights is None:
            held = [one for one, named in self._named.values() if named.owner == "model" and one.requires_grad]
            self._weights = frozenset(storage_of(one) for one in held)
        return storage_of(tensor) in self._weights

    def alias(self, new: Any, old: torch.Tensor) -> None:
        """From now on `new` counts as `old`."""
        number = self.number_of(old)
        if number is not None:
            self._known[id(new)] = _holder(new), number


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


def _autocast() -> tuple[tuple[str, torch.dtype], ...]:
    on = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    return tuple((kind, torch.get_autocast_dtype(kind)) for kind in on)
