"""What the loop measures of each item by itself and takes from it, before it gives the items to the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from nn_inspector.checks.model.own_scale import MEASURES, TAKEN, Change, alike
from nn_inspector.experiments import TrainingCopy
from nn_inspector.probes.replay import replay
from nn_inspector.probes.tape import BatchPart, ModuleCall, Operation, Tape


def measured_in_loop(tape: Tape | None) -> list[int]:
    """The places, among the operations of a program, of what measures items before the network is called.

    Only what is subtracted from the data that it measures, or by which they are divided, is meant.
    """
    if tape is None:
        return []
    calls = [place for place, one in enumerate(tape.operations) if one.call == ModuleCall("model")]
    before = tape.operations[: calls[0]] if calls else ()
    of_batch = {number for number, source in tape.inputs.items() if isinstance(source, BatchPart)}
    return [place for place, one in enumerate(before) if one.name in MEASURES and _is_taken(before, place, of_batch)]


def all_alike(tape: Tape, places: list[int]) -> Change:
    """A copy whose loss measures the whole batch instead."""
    operations = [
        dataclasses.replace(one, call=_over_the_batch(one.call)) if place in places else one
        for place, one in enumerate(tape.operations)
    ]
    changed = dataclasses.replace(tape, operations=tuple(operations))

    def change(copied: TrainingCopy) -> None:
        copied.instead = lambda batch: replay(changed, copied.model, copied.loss_fn, batch)

    return change


def _is_taken(operations: tuple[Operation, ...], measure: int, of_batch: set[int]) -> bool:
    chain = {number for _, number in operations[measure].results}
    data = {*operations[measure].used}
    for one in operations[:measure]:  # a square, an absolute value, what was subtracted before
        if data & {number for _, number in one.results}:
            data |= one.used
    if not data & of_batch:
        return False
    derived = {*data}
    for one in operations:
        results = {number for _, number in one.results}
        if one.used & chain and not one.used - chain:
            chain |= results
        elif one.name in TAKEN and one.used & chain and one.used & derived:
            return True
        elif one.used & derived:
            derived |= results - chain
    return False


def _over_the_batch(call: Callable[..., Any] | ModuleCall) -> Callable[..., Any]:
    assert not isinstance(call, ModuleCall), "a module measures nothing"

    def measure(data: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        measured = call(data, *args, **kwargs)
        first = measured if isinstance(measured, torch.Tensor) else measured[0]
        return alike(measured) if first.dim() > 0 and len(first) == len(data) else measured

    return measure
