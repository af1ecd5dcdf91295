"""What a user can hand to `watch()`: each is checked, and the error says what to do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any

import torch
from torch import nn

from nn_inspector.errors import ArgumentError, describe

Loop = Callable[..., Any] | Sequence[Callable[..., Any]]
"""The function that trains, or several that do so together."""


def check_model(model: object) -> None:
    """A network with parameters that have values, and that takes hooks.

    Raises:
        ArgumentError: it is something else.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            "model",
            expected="a torch.nn.Module",
            got=describe(model),
            advice="Pass the network that you train, for example watch(model, optimizer).",
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ArgumentError(
            "model",
            expected="a module that Python runs",
            got="a TorchScript module, which takes no hooks",
            advice="Pass the module that you gave to torch.jit.script or torch.jit.trace, and train that one.",
        )
    parameters = list(model.parameters())
    if not parameters:
        raise ArgumentError(
            "model",
            expected="a network with parameters",
            got=f"{describe(model)} without any",
            advice="Pass the network that you train; a loss has no parameters and goes into loss_fn=...",
        )
    if all(p.is_meta for p in parameters):
        raise ArgumentError(
            "model",
            expected="parameters with values",
            got="parameters on the meta device, which have none",
            advice='Give them memory and values first, for example model.to_empty(device="cpu") and then initialize.',
        )


def check_callable(name: str, value: object, advice: str) -> None:
    """A function, a module, or None.

    Args:
        name: of the argument.
        value: what was given.
        advice: what to pass instead.

    Raises:
        ArgumentError: it cannot be called, or is a class.
    """
    if isinstance(value, type):
        advice = f"Make an instance of it: {value.__name__}()."
    if value is not None and (isinstance(value, type) or not callable(value)):
        raise ArgumentError(name, expected="a function or module", got=describe(value), advice=advice)


def as_loss(loss_fn: Any) -> Any:
    """The loss function; None for several in a mapping or a list, which the loop calls one by one.

    Raises:
        ArgumentError: it cannot be called.

    Example:
        >>> import torch
        >>> as_loss({"kind": torch.nn.CrossEntropyLoss(), "size": torch.nn.MSELoss()}) is None
        True
    """
    several: Any = None
    if isinstance(loss_fn, Mapping | nn.ModuleDict):
        several = list(loss_fn.values())
    elif isinstance(loss_fn, list | tuple | nn.ModuleList):
        several = list(loss_fn)
    if several and all(callable(one) and not isinstance(one, type) for one in several):
        return None
    check_callable("loss_fn", loss_fn, "Pass a loss such as torch.nn.CrossEntropyLoss().")
    return loss_fn


def as_functions(loop: object) -> tuple[Callable[..., Any], ...]:
    """The functions of the loop, each checked to be one that somebody has written; none where it is None.

    Raises:
        ArgumentError: one is no function, or the list is empty.
    """
    if loop is None:
        return ()
    given: list[Any] = list(loop) if isinstance(loop, list | tuple) else [loop]
    functions = [_written(function) for function in given]
    for function in functions:
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            raise ArgumentError(
                "loop",
                expected="the function that trains, or a list of such functions",
                got=describe(function),
                advice="It is read, not called: pass the function itself, for example loop=train.",
            )
    if not functions:
        raise ArgumentError(
            "loop", expected="at least one function", got="an empty list", advice="Leave it out if there is none."
        )
    return tuple(functions)


def _written(function: Any) -> Any:
    """The function behind a partial one, or that an object with `__call__` is called by; a module is a network and no loop."""
    if isinstance(function, functools.partial):
        return _written(function.func)
    call = getattr(function, "__call__", None)  # noqa: B004 - it is wanted itself
    return call if inspect.ismethod(call) and not isinstance(function, nn.Module | type) else function


def check_loader(name: str, loader: object) -> None:
    """An iterable that has batches, as far as can be seen without going over it, or None.

    Args:
        name: of the argument.
        loader: what was given.

    Raises:
        ArgumentError: it is no iterable of batches, or an empty one.
    """
    if loader is None:
        return
    if not isinstance(loader, Iterable) or isinstance(loader, str | bytes | torch.Tensor):
        raise ArgumentError(
            name,
            expected="an iterable of batches",
            got=describe(loader),
            advice="Pass a torch.utils.data.DataLoader or a list of (input, target) batches.",
        )
    if isinstance(loader, Sized) and length_of(loader) == 0:
        raise ArgumentError(
            name,
            expected="at least one batch",
            got="an empty loader",
            advice="Look at the length of its data set, and at drop_last with a batch size larger than the data.",
        )


def length_of(loader: Sized) -> int | None:
    """How many batches there are; a `DataLoader` of a stream, or with a sampler without a length, has no number of them."""
    try:
        return len(loader)
    except TypeError:
        return None
