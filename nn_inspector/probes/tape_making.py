"""From what was noted of a pass to the program that computes its loss, and from several such programs to one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any

from nn_inspector.probes.tape import (
    BatchPart,
    Foreign,
    Input,
    ModuleCall,
    Operation,
    Ref,
    Size,
    Tape,
    Unknown,
    children,
    leaves,
    rebuild,
    transform,
)
from nn_inspector.probes.tape_draft import Draft

_PLACES = frozenset({"roll", "getitem", "narrow", "select"})
"""Where whole numbers may be other ones in each step: a crop, a shift."""


_SUMS_IN_PLACE = frozenset({"add_", "iadd"})
_SUMS = frozenset({"add", "radd"}) | _SUMS_IN_PLACE
_DIFFERENCES_IN_PLACE = frozenset({"sub_", "isub"})
_DIFFERENCES = frozenset({"sub"}) | _DIFFERENCES_IN_PLACE

_SAME = 0.01


class NotReplayable(Exception):  # noqa: N818 - it is an answer
    """The loss cannot be computed again from what was seen; the message says why."""


def tape_of(draft: Draft, objectives: Sequence[tuple[int, int]], data: Collection[int] = ()) -> Tape:
    """The program for some of the tensors that backward() was called on: what they do not depend on is left out.

    Args:
        draft: what was noted.
        objectives: number of each, and how many operations came before.
        data: values that are taken as given, not made again: `BatchPart` inputs of the program, each with its number here.

    Raises:
        NotReplayable: something in it cannot be made again.
    """
    chosen = needed(draft, objectives, data)
    numbers: dict[int, int] = {}

    def renumber(leaf: Any) -> Any:
        return Ref(numbers.setdefault(leaf.number, len(numbers))) if isinstance(leaf, Ref) else leaf

    operations = []
    for operation in chosen:
        args, kwargs = transform(operation.args, renumber), transform(operation.kwargs, renumber)
        written = frozenset(numbers.setdefault(number, len(numbers)) for number in sorted(operation.written))
        results = tuple((path, numbers.setdefault(number, len(numbers))) for path, number in operation.results)
        operations.append(dataclasses.replace(operation, args=args, kwargs=kwargs, written=written, results=results))
    ends = tuple(numbers.setdefault(number, len(numbers)) for number, _ in objectives)
    graph = _graph(draft, chosen, objectives)
    inputs: dict[int, Input] = {}
    for old, new in numbers.items():
        value = draft.values[old]
        if old in data:
            inputs[new] = BatchPart((("item", old),))
            continue
        if value.problem is not None:
            raise NotReplayable(value.problem)
        if isinstance(value.source, Foreign) and value.needs_grad and old in graph:
            raise NotReplayable("Parameters take part that do not belong to the model.")
        if value.source is not None:
            inputs[new] = value.source
    _check(operations)
    return Tape(inputs, tuple(operations), ends, draft.items)


def needed(draft: Draft, objectives: Sequence[tuple[int, int]], data: Collection[int] = ()) -> list[Operation]:
    """The operations that some objectives depend on, in order; what `data` depends on is left out."""
    wanted: set[int] = set()
    storages: set[int] = set()
    chosen = []
    for place in reversed(range(max(count for _, count in objectives))):
        for number, count in objectives:
            if count == place + 1:
                wanted.add(number)
                storages.add(draft.values[number].storage)
        operation = draft.operations[place]
        writes = any(draft.values[number].storage in storages for number in operation.written)
        if writes or any(number in wanted for _, number in operation.results):
            chosen.append(operation)
            used = operation.used.difference(data)
            wanted |= used
            storages |= {draft.values[number].storage for number in used}
    return chosen[::-1]


def _graph(draft: Draft, operations: Sequence[Operation], objectives: Sequence[tuple[int, int]]) -> set[int]:
    """The values that the objectives have a gradient for."""
    reached = {number for number, _ in objectives}
    for operation in reversed(operations):
        if not reached.isdisjoint({number for _, number in operation.results} | operation.written):
            reached |= {number for number in operation.used if draft.values[number].needs_grad}
    return reached


def _check(operations: Sequence[Operation]) -> None:
    for operation in operations:
        for leaf in leaves((operation.args, operation.kwargs)):
            if isinstance(leaf, Unknown):
                raise NotReplayable(leaf.problem)


def distinct_objectives(draft: Draft, data: Collection[int] = ()) -> list[tuple[int, int]]:
    """The objectives of a draft, without those that compute once more what another one has computed, as a closure does."""
    kept: list[tuple[int, int]] = []
    known: list[Tape] = []
    for end in draft.objectives:
        tape = tape_of(draft, [end], data)
        if not any(_is_same(tape, other) for other in known):
            known.append(tape)
            kept.append(end)
    return kept


def _is_same(a: Tape, b: Tape) -> bool:
    return (a.inputs, a.operations, a.objectives) == (b.inputs, b.operations, b.objectives)


def agree(a: Tape, b: Tape, *, numbers_were_read: bool) -> Tape:
    """The one program behind two passes.

    Args:
        a: the earlier pass.
        b: the later one.
        numbers_were_read: whether the loop took numbers out of tensors in between, as `item()` does.

    Raises:
        NotReplayable: they are not the same; the message says in what.
    """
    if len(a.operations) != len(b.operations) or a.objectives != b.objectives:
        raise NotReplayable("The loop does not compute the loss in the same way in each step.")
    changing: list[str] = list(a.changing)
    operations = []
    for one, other in zip(a.operations, b.operations, strict=True):
        same = (one.call, one.results, one.written, one.grad, one.autocast)
        if same != (other.call, other.results, other.written, other.grad, other.autocast):
            raise NotReplayable("The loop does not compute the loss in the same way in each step.")
        match = _Match(one.name, a.items, b.items)
        args, kwargs = match.both(one.args, other.args), match.both(one.kwargs, other.kwargs)
        changing += match.changing
        operations.append(dataclasses.replace(other, args=args, kwargs=kwargs))
    if changing and numbers_were_read:
        raise NotReplayable(
            f"A number in {changing[0]} changes from step to step, and the loop reads numbers out of tensors."
        )
    _compare_inputs(a, b)
    return Tape(b.inputs, tuple(operations), b.objectives, b.items, tuple(dict.fromkeys(changing)))


def _compare_inputs(a: Tape, b: Tape) -> None:
    if a.inputs.keys() != b.inputs.keys():
        raise NotReplayable("The loop does not compute the loss in the same way in each step.")
    for number, source in a.inputs.items():
        other = b.inputs[number]
        if isinstance(source, Foreign) and isinstance(other, Foreign):
            if source.trained != other.trained:
                raise NotReplayable("Another network that is trained as well takes part.")
            if not source.is_same(other):
                raise NotReplayable(
                    "A tensor takes part that is another one in each step and is not made of the batch, as far as was seen."
                )
        elif source != other:
            raise NotReplayable("The loop does not take the same parts of the batch in each step.")


class _Match:
    """Puts the arguments of one call in two steps together."""

    def __init__(self, name: str, items: int, other_items: int) -> None:
        self._name = name
        self._items = items, other_items
        self.changing: list[str] = []

    def both(self, a: Any, b: Any) -> Any:
        """The argument behind two."""
        parts, others = children(a), children(b)
        if parts is None or others is None:
            return self._leaf(a, b)
        if type(a) is not type(b) or len(parts) != len(others) or (isinstance(a, dict) and a.keys() != b.keys()):
            raise NotReplayable(f"The arguments of {self._name} are not alike in each step.")
        return rebuild(b, [self.both(part, other) for part, other in zip(parts, others, strict=True)])

    def _leaf(self, a: Any, b: Any) -> Any:
        if type(a) is type(b) and (a == b or (a != a and b != b)):  # noqa: PLR0124 - NaN
            return b
        sizes = [self._number(leaf, items) for leaf, items in zip((a, b), self._items, strict=True)]
        if sizes[0] == self._items[0] != self._items[1] == sizes[1]:
            return Size()
        if None not in sizes and sizes[0] == sizes[1]:  # it looked like a size in one of them
            return sizes[0]
        both_numbers = all(isinstance(leaf, int | float) and not isinstance(leaf, bool) for leaf in (a, b))
        if both_numbers and (isinstance(a, float) or isinstance(b, float) or self._name in _PLACES):
            self.changing.append(self._name)
            return b
        raise NotReplayable(f"The arguments of {self._name} are not alike in each step.")

    def _number(self, leaf: Any, items: int) -> int | None:
        if isinstance(leaf, Size):
            return leaf.of(items)
        return leaf if isinstance(leaf, int) and not isinstance(leaf, bool) else None


def without_share(tape: Tape, passes: int) -> Tape:
    """The program without the division of its loss by the number of passes whose gradients are added up."""
    return tape if passes < 2 else without_factor(tape, 1 / passes)


def without_factor(tape: Tape, factor: float) -> Tape:
    """The program without the product of its loss and a factor, if that is its last operation."""
    if len(tape.objectives) != 1 or not tape.operations:
        return tape
    last = tape.operations[-1]
    ends = [number for path, number in last.results if not path]
    if ends != list(tape.objectives) or len(last.args) != 2 or not isinstance(last.args[0], Ref):
        return tape
    found = last.args[1]
    if not isinstance(found, int | float) or isinstance(found, bool) or found <= 0 or factor == 1:
        return tape
    if last.name in ("div", "truediv"):
        found = 1 / found
    elif last.name not in ("mul", "rmul"):
        return tape
    if not math.isclose(found, factor, rel_tol=_SAME):
        return tape
    return dataclasses.replace(tape, operations=tape.operations[:-1], objectives=(last.args[0].number,))


def without_penalty(tape: Tape) -> Tape:
    """The program without the terms of its sum that depend on weights alone, not on the batch."""
    bound = {number for number, source in tape.inputs.items() if isinstance(source, BatchPart)}
    for operation in tape.operations:
        if isinstance(operation.call, ModuleCall) or not bound.isdisjoint(operation.used):
            bound |= {number for _, number in operation.results}
    operations, objectives = list(tape.operations), list(tape.objectives)
    for operation in reversed(tape.operations):
        in_place = operation.name in _SUMS_IN_PLACE | _DIFFERENCES_IN_PLACE
        ends = operation.written if in_place else {number for _, number in operation.results}
        if operation.name not in _SUMS | _DIFFERENCES or ends.isdisjoint(objectives):
            continue
        terms = [part.number for part in operation.args if isinstance(part, Ref)]
        if operation.name in _DIFFERENCES and terms and terms[0] not in bound:
            continue  # without what stands before a minus, the sign of the rest would be another one
        if len(terms) == len(operation.args) == 2 and len(bound.intersection(terms)) == 1:
            (kept,) = bound.intersection(terms)
            objectives = [kept if number in ends else number for number in objectives]
            operations.remove(operation)
    return dataclasses.replace(tape, operations=tuple(operations), objectives=tuple(objectives))
