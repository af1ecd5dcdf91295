"""Gradients of the user's own `torch.autograd.Function`s, held against differences of what their forward() gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import BackwardCFunction, Function, FunctionCtx

from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.experiments.random_state import preserved_random_state

ELEMENTS = 24
"""So many elements of each input are moved, evenly chosen."""

AGREES = 0.5
"""From this cosine on, forward and backward agree as far as they are meant to: a clamp may let all gradients through."""

_NODES = 2000
_FUNCTIONS = 4
_FLAT = 1e-9
_STEP = 1e-4


@dataclass(frozen=True, slots=True)
class WrongBackward:
    """A function whose backward() gives another gradient than the one of its forward().

    Attributes:
        name: of the class.
        cosine: between the two gradients, over the elements that were moved of the input where they agree least.
    """

    name: str
    cosine: float


def wrong_backward(copied: TrainingCopy, batch: Any) -> WrongBackward | None:
    """Look at the functions of the user's own in the graph of the copy's loss.

    A function whose forward() is flat (rounding, spikes) has a backward() on purpose, and so has one whose gradient is
    its true one times a number (gradient reversal, whose number may begin at zero): they are passed over. That number is one
    for all inputs: if the gradient of one input is turned around, and that of another one is not, it is wrong.

    Raises:
        ExperimentError: the batch does not fit.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return None  # such a function may talk to the other processes, which are not here
    functions = list(dict.fromkeys(_own_functions(copied.loss(batch))))[:_FUNCTIONS]
    for function in functions:
        args = _args_of(function, lambda: copied.loss(batch))
        cosines = _cosines(function, args) if args is not None else []
        turned = min(cosines, default=1.0) <= -AGREES <= AGREES <= max(cosines, default=-1.0)
        wrong = [cosine for cosine in cosines if abs(cosine) < AGREES or (turned and cosine < 0)]
        if wrong:
            return WrongBackward(function.__name__, min(wrong, key=abs))
    return None


def _own_functions(loss: torch.Tensor) -> Iterator[type[Function]]:
    waiting: list[Any] = [loss.grad_fn]
    seen: set[Any] = set()
    while waiting and len(seen) < _NODES:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction):
            function: type[Function] = getattr(type(node), "_forward_cls")  # noqa: B009 - torch does not declare it
            if not function.__module__.startswith("torch."):
                yield function
        waiting.extend(before for before, _ in node.next_functions)


def _args_of(function: type[Function], run: Callable[[], Any]) -> tuple[Any, ...] | None:
    """What the function is called with first."""
    found: list[tuple[Any, ...]] = []
    own = function.__dict__.get("forward")
    forward: Callable[..., Any] = function.forward

    def note(*args: Any, **kwargs: Any) -> Any:
        if not found:
            given = args[1:] if args and isinstance(args[0], FunctionCtx) else args
            found.append(tuple(_kept(one) for one in given))
        return forward(*args, **kwargs)

    if own is None:
        return None
    setattr(function, "forward", staticmethod(note))  # noqa: B010 - a type checker takes a method for a constant
    try:
        run()
    finally:
        setattr(function, "forward", own)  # noqa: B010
    return found[0] if found else None


def _kept(one: Any) -> Any:
    return one.detach().clone().requires_grad_(one.requires_grad) if isinstance(one, torch.Tensor) else one


def _cosines(function: type[Function], args: tuple[Any, ...]) -> list[float]:
    """Between the gradient that backward() gives for each input and differences of forward(); of those where it is not flat."""
    wide = [one.double() if isinstance(one, torch.Tensor) and one.is_floating_point() else one for one in args]
    wide = [
        one.detach().requires_grad_(before.requires_grad) if isinstance(one, torch.Tensor) else one
        for one, before in zip(wide, args, strict=True)
    ]
    inputs = [one for one in wide if isinstance(one, torch.Tensor) and one.requires_grad]
    try:
        output = _called(function, wide)
        direction = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(0))
        given = torch.autograd.grad(output, inputs, direction.to(output.device), allow_unused=True)
        if all(one is not None and not one.any() for one in given):
            return []
        moved = [
            list(_moved(function, wide, one, gradient, direction)) for one, gradient in zip(inputs, given, strict=True)
        ]
    except Exception:  # noqa: BLE001 - a function that takes no float64, or nothing but its own network's tensors
        return []
    if any(_goes_straight_through(pairs) for pairs in moved):
        return []
    return [cosine for pairs in moved if pairs and (cosine := _cosine(pairs)) is not None]


def _goes_straight_through(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether there is a gradient where forward() is flat: the function has one of its own on purpose, for all its inputs."""
    return any(given for given, _ in pairs) and math.hypot(*(found for _, found in pairs)) < _FLAT


def _cosine(pairs: Sequence[tuple[float, float]]) -> float | None:
    analytic, numeric = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    if float(numeric.norm()) < _FLAT or not bool(torch.isfinite(numeric).all() and torch.isfinite(analytic).all()):
        return None
    return float(analytic @ numeric / (analytic.norm() * numeric.norm()).clamp(min=1e-300))


def _moved(
    function: type[Function], args: list[Any], one: torch.Tensor, gradient: torch.Tensor | None, direction: torch.Tensor
) -> Iterator[tuple[float, float]]:
    """The gradient that was given and the difference that is found, for some elements of an input."""
    flat = one.detach().reshape(-1)
    for place in range(0, len(flat), max(1, len(flat) // ELEMENTS)):
        values = []
        for sign in (1, -1):
            other = flat.clone()
            other[place] += sign * _STEP
            moved = [other.reshape(one.shape).requires_grad_() if arg is one else arg for arg in args]
            values.append(float((_called(function, moved).detach() * direction).sum()))
        yield (0.0 if gradient is None else float(gradient.reshape(-1)[place])), (values[0] - values[1]) / (2 * _STEP)


def _called(function: type[Function], args: list[Any]) -> torch.Tensor:
    with preserved_random_state(0):
        output = function.apply(*args)
    first = output[0] if isinstance(output, tuple) else output
    assert isinstance(first, torch.Tensor), "functions that return no tensor first are not looked at"
    return first
