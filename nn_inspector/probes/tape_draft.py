"""One pass of a loop from a batch to backward(), as it is being noted."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.outputs import all_tensors
from nn_inspector.probes.structure import Path, places
from nn_inspector.probes.tape import ModuleCall, Named, Operation, Ref, refs
from nn_inspector.probes.tape_values import KnownValues, Value, storage_of

MOST_OPERATIONS = 4000


class Draft(KnownValues):
    """The values and operations noted so far.

    Args:
        named: parameters and buffers of model and loss, by identity.
        late: whether the beginning was not seen.
        before: tensors that were made in the pass before, by identity.
        has_batch: whether the pass works on a batch of a loader. Else what enters it is held until it is over, see `entered`.

    Attributes:
        made: the tensors that were made in this pass, by identity.
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
        super().__init__(named, before, has_batch=has_batch)
        self.late = late
        self.made: dict[int, weakref.ref[torch.Tensor]] = {}
        self.operations: list[Operation] = []
        self.given_results: dict[int, Any] = {}
        self.asked_size = False
        self.problem: str | None = None
        self.decides = False
        self.reads_numbers = False
        self.reads_answers = False
        self.samples_answers = False
        self.entered: dict[int, tuple[torch.Tensor, int]] = {}
        self.closed = False
        self.objectives: list[tuple[int, int]] = []
        self._read: dict[tuple[type, float], int] = {}
        self._weights: frozenset[int] | None = None

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
                number = self.define(found, reaches=reaches, of_data=of_data)
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
        given, self.given = self.given, {}
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


def _autocast() -> tuple[tuple[str, torch.dtype], ...]:
    on = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    return tuple((kind, torch.get_autocast_dtype(kind)) for kind in on)
