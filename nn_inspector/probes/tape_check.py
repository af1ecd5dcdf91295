"""Holds the program of a loss against the pass that it was made of, while that is still at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from nn_inspector.probes.replay import execute
from nn_inspector.probes.tape import BatchPart, Foreign, Input, ModuleCall, Operation, Tape
from nn_inspector.probes.tape_draft import Draft
from nn_inspector.probes.tape_making import needed

MOST_BYTES = 1 << 27
"""A pass whose tensors outside of modules take more is not computed once more."""

_TOLERANCE = 1e-3


def gives_the_same(
    draft: Draft,
    end: tuple[int, int],
    objective: torch.Tensor,
    loss_fn: Any,
    data: Mapping[int, torch.Tensor] = MappingProxyType({}),
) -> bool:
    """Whether what was noted gives the value that the loop has got.

    What modules returned, random numbers and gradients are taken as they came: nothing is called but torch functions,
    without gradients. Where the loop changes its batch or an output in place it cannot be run twice, and counts as right.

    Args:
        draft: what was noted.
        end: number of the objective, and how many operations came before.
        objective: the tensor itself.
        loss_fn: the user's loss, where it is a function.
        data: values that are taken as given, by number.
    """
    operations = needed(draft, [end], data)
    if _cannot_be_repeated(draft, operations, data):
        return True
    used = {number for operation in operations for number in operation.used}
    inputs: dict[int, Input] = {n: BatchPart((("item", n),)) for n in used if n in data}
    inputs |= {n: source for n in used if n not in data and (source := draft.values[n].source) is not None}
    tape = Tape(inputs, tuple(operations), (end[0],), draft.items)
    numbers = {id(source): number for number, source in inputs.items()}

    def get(source: Input) -> Any:
        number = numbers[id(source)]
        if number in data:
            return data[number].detach()
        return source.get() if isinstance(source, Foreign) else draft.objects[number]

    def call(operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if operation.given:
            return draft.given_results[id(operation)]
        function = loss_fn if isinstance(operation.call, ModuleCall) else operation.call
        return function(*args, **kwargs)

    devices = [objective.device] if objective.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        again = float(execute(tape, get, call, draft.items)[0])
    value = float(objective.detach())
    return math.isclose(again, value, rel_tol=_TOLERANCE, abs_tol=1e-6) or (math.isnan(again) and math.isnan(value))


def _cannot_be_repeated(draft: Draft, operations: list[Operation], data: Mapping[int, torch.Tensor]) -> bool:
    taken = {n for o in operations if o.given for _, n in o.results}
    taken |= {n for o in operations for n in o.used if draft.values[n].source is not None or n in data}
    memory = {draft.values[number].storage for number in taken}
    written = {draft.values[number].storage for operation in operations for number in operation.written}
    size = sum(draft.values[number].bytes for operation in operations for _, number in operation.results)
    return bool(memory & written) or size > MOST_BYTES
