"""The optimizers that a user handed over: one, several, or an object of the user's that holds some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nn_inspector.errors import ArgumentError, describe


def as_optimizers(given: object) -> list[Optimizer]:
    """What was given for `optimizer`, as a list.

    An object with a step() of its own stands for the optimizers among its attributes, such as the one that a warm-up
    wraps. One that holds no parameter of the model is taken as it is: `trainable_parameters` says what is wrong then. One
    that changes the weights by itself is left aside, as updates by hand are: what it does is seen by the weights.

    Raises:
        ArgumentError: it is no optimizer, holds none, and has no step() of its own.

    Example:
        >>> import torch
        >>> adam = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
        >>> class Warmup:
        ...     def __init__(self, optimizer):
        ...         self.optimizer = optimizer
        ...
        ...     def step(self):
        ...         self.optimizer.step()
        >>> as_optimizers(Warmup(adam)) == [adam]
        True
    """
    if given is None:
        return []
    found: list[Optimizer] = []
    for one in _one_by_one(given):
        held = [one] if isinstance(one, Optimizer) else _held(one)
        if not held and not _steps(one):
            raise ArgumentError("optimizer", expected="a torch.optim.Optimizer", got=describe(one), advice=_advice(one))
        found.extend(optimizer for optimizer in held if all(optimizer is not other for other in found))
    return found


def _one_by_one(given: object) -> list[object]:
    if isinstance(given, Mapping):
        return list(given.values())
    return list(given) if isinstance(given, list | tuple) else [given]


def _held(wrapper: object) -> list[Optimizer]:
    if not _steps(wrapper):
        return []
    return [one for value in getattr(wrapper, "__dict__", {}).values() for one in _among(value)]


def _steps(given: object) -> bool:
    return not isinstance(given, LRScheduler | type) and callable(getattr(given, "step", None))


def _among(value: Any) -> Iterator[Optimizer]:
    for one in _one_by_one(value):
        if isinstance(one, Optimizer):
            yield one


def _advice(given: object) -> str:
    if isinstance(given, LRScheduler):
        return "Pass the optimizer itself: scheduler.optimizer."
    return "Pass the optimizer whose step() your loop calls, or None to find it by its steps."
