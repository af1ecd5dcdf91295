"""Runs the program of a loss."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from nn_inspector.errors import ExperimentError
from nn_inspector.probes.structure import follow, path_text, places
from nn_inspector.probes.tape import (
    Altered,
    BatchPart,
    Built,
    Foreign,
    Input,
    ModuleCall,
    Operation,
    Ref,
    Size,
    Slice,
    Tape,
    children,
    rebuild,
)

Caller = Callable[[Operation, tuple[Any, ...], dict[str, Any]], Any]


def replay(tape: Tape, model: nn.Module, loss_fn: Callable[..., Any] | None, batch: Any) -> torch.Tensor:
    """The loss of a model on a batch, computed as the loop did it.

    Args:
        tape: the program.
        model: the user's model or a copy of it.
        loss_fn: the user's loss or a copy of it.
        batch: of the same structure as those of the loop; it is not changed.

    Raises:
        ExperimentError: the batch is of another kind, or a tensor from elsewhere is gone.
    """
    wanted = torch.is_grad_enabled()
    with torch.enable_grad() if tape.needs_graph else contextlib.nullcontext():
        ends = _run(tape, model, loss_fn, batch)
    loss: torch.Tensor = ends[0]
    for end in ends[1:]:
        loss = loss + end
    return loss if wanted else loss.detach()


def _run(tape: Tape, model: nn.Module, loss_fn: Callable[..., Any] | None, batch: Any) -> list[Any]:
    owners: dict[str, Any] = {"model": model, "loss": loss_fn}
    named: dict[str, dict[str, torch.Tensor]] = {}

    def get(source: Input) -> Any:
        if isinstance(source, BatchPart):
            return _part(batch, source)
        if isinstance(source, Foreign):
            return _still_there(source)
        if source.owner not in named:
            named[source.owner] = _tensors(owners[source.owner])
        return named[source.owner][source.name]

    def call(operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(operation.call, ModuleCall):
            return operation.call(*args, **kwargs)
        owner = owners[operation.call.owner]
        return (owner.get_submodule(operation.call.name) if operation.call.name else owner)(*args, **kwargs)

    return execute(tape, get, call, _items(batch))


def replay_output(tape: Tape, model: nn.Module, loss_fn: Callable[..., Any] | None, batch: Any) -> Any:
    """What a model returns for a batch when it is called as the loop did it, the last time if it did so several times.

    Args:
        tape: the program; the part of it after the call is left out.
        model: the user's model or a copy of it.
        loss_fn: the user's loss or a copy of it.
        batch: of the same structure as those of the loop; it is not changed.

    Raises:
        ExperimentError: the batch is of another kind, or the loop calls parts of the model only.
    """
    called = [place for place, operation in enumerate(tape.operations) if operation.call == ModuleCall("model")]
    if not called:
        raise ExperimentError("Your loop calls parts of the model only, not the model.")
    outputs: list[Any] = []
    operations = tape.operations[: called[-1] + 1]
    needed = {number for operation in operations for number in operation.used}
    inputs = {number: source for number, source in tape.inputs.items() if number in needed}
    handle = model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    try:
        _run(dataclasses.replace(tape, inputs=inputs, operations=operations, objectives=()), model, loss_fn, batch)
    finally:
        handle.remove()
    return outputs[-1]


def execute(tape: Tape, get: Callable[[Input], Any], call: Caller, items: int) -> list[Any]:
    """Run a program and return its objectives.

    Args:
        tape: the program.
        get: gives the object for an input.
        call: makes the call of an operation.
        items: how many items the batch has.
    """
    written = {number for operation in tape.operations for number in operation.written}
    values: dict[int, Any] = {}
    for number, source in tape.inputs.items():
        value = get(source)
        is_users = isinstance(source, BatchPart | Foreign) and isinstance(value, torch.Tensor)
        values[number] = _twin(value) if is_users and number in written else value

    def decode(encoded: Any) -> Any:
        if isinstance(encoded, Ref):
            return values[encoded.number]
        if isinstance(encoded, Size):
            return encoded.of(items)
        parts = children(encoded)
        return encoded if parts is None else _made(rebuild(encoded, [decode(part) for part in parts]))

    grad = torch.is_grad_enabled()
    for operation in tape.operations:
        with _as_in_the_loop(operation, grad=grad):
            result = call(operation, decode(operation.args), decode(operation.kwargs))
        for path, number in operation.results:
            values[number] = follow(result, path)
    return [values[number] for number in tape.objectives]


def _made(built: Any) -> Any:
    if isinstance(built, Slice):
        return slice(built.start, built.stop, built.step)
    if isinstance(built, Built):
        return built.kind(*built.parts)
    if isinstance(built, Altered):
        twin: Any = copy.copy(built.of)
        for (kind, key), part in built.parts:
            if kind == "item":
                twin[key] = part
            else:
                object.__setattr__(twin, key, part)
        return twin
    return built


def _twin(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


@contextlib.contextmanager
def _as_in_the_loop(operation: Operation, *, grad: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if grad and not operation.grad:
            stack.enter_context(torch.no_grad())
        for kind, dtype in operation.autocast:
            stack.enter_context(torch.autocast(kind, dtype=dtype))
        yield


def _part(batch: Any, source: BatchPart) -> Any:
    try:
        return follow(batch, source.path)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise ExperimentError(
            f"Your loop takes batch{path_text(source.path)}, and this batch has no such part."
        ) from error


def _still_there(source: Foreign) -> torch.Tensor:
    held = source.get()
    if held is None:
        raise ExperimentError(
            "The loss of your loop uses a large tensor that does not exist any more. Say how to compute the loss: "
            "watch(..., step=lambda model, batch: loss)."
        )
    return held


def _tensors(owner: Any) -> dict[str, torch.Tensor]:
    return {**dict(owner.named_parameters(remove_duplicate=False)), **dict(owner.named_buffers(remove_duplicate=False))}


def _items(batch: Any) -> int:
    return next((len(found) for _, found in places(batch) if isinstance(found, torch.Tensor) and found.dim()), 0)
