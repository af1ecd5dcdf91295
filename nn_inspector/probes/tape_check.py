"""Holds the program of a loss against the pass that it was made of, while that is still at hand."""

from __future__ import annotations

import math
from typing import Any

import torch

from nn_inspector.probes.replay import execute
from nn_inspector.probes.tape import Foreign, Input, ModuleCall, Operation, Tape
from nn_inspector.probes.tape_draft import Draft
from nn_inspector.probes.tape_making import needed

MOST_BYTES = 1 << 27
"""A pass whose tensors outside of modules take more is not computed once more."""

_TOLERANCE = 1e-3


def gives_the_same(draft: Draft, end: tuple[int, int], objective: torch.Tensor, loss_fn: Any) -> bool:
    """Whether what was noted gives the value that the loop has got.

    What modules returned, random numbers and gradients are taken as they came: nothing is called but torch functions,
    without gradients. Where the loop changes its batch or an output in place it cannot be run twice, and counts as right.

    Args:
        draft: what was noted.
        end: number of the objective, and how many operations came before.
        objective: the tensor itself.
        loss_fn: the user's loss, where it is a function.
    """
    operations = needed(draft, [end])
    if _cannot_be_repeated(draft, operations):
        return True
    used = {number for operation in operations for number in operation.used}
    inputs = {n: source for n in used if (source := draft.values[n].source) is not None}
    tape = Tape(inputs, tuple(operations), (end[0],), draft.items)
    numbers = {id(source): number for number, source in inputs.items()}

    def get(source: Input) -> Any:
        return source.get() if isinstance(source, Foreign) else draft.objects[numbers[id(source)]]

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


def _cannot_be_repeated(draft: Draft, operations: list[Operation]) -> bool:
    taken = {n for o in operations if o.given for _, n in o.results}
    taken |= {n for o in operations for n in o.used if draft.values[n].source is not None}
    memory = {draft.values[number].storage for number in taken}
    written = {draft.values[number].storage for operation in operations for number in operation.written}
    size = sum(draft.values[number].bytes for operation in operations for _, number in operation.results)
    return bool(memory & written) or size > MOST_BYTES
