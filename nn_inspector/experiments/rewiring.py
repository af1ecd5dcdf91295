"""Changes what single calls within a copy do, in modules and in functional code alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from nn_inspector.experiments.anatomy import plain_name

Spot = tuple[str, int]
"""Plain name of a torch function, and how many calls of it came before within the model's forward pass."""

Replacement = Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Any]
"""Is given the function with its arguments, and returns what the call is to return."""


def rewire(model: nn.Module, changes: Mapping[Spot, Replacement]) -> None:
    """From now on replace calls in each forward pass of a model, which is to be a copy.

    Args:
        model: the copy.
        changes: what to do instead, by the call's name and turn.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
        >>> rewire(model, {("sigmoid", 0): lambda function, args, kwargs: args[0].relu()})
        >>> bool((model(torch.randn(8, 2)) == 0).any())
        True
    """
    forward = model.forward

    def rewired(*args: Any, **kwargs: Any) -> Any:
        with _Rewiring(changes):
            return forward(*args, **kwargs)

    model.forward = rewired


def followed_by(function: Callable[[Any], Any]) -> Replacement:
    """The call as it is, and then `function` on what it returned."""
    return lambda call, args, kwargs: function(call(*args, **kwargs))


class _Rewiring(TorchFunctionMode):
    def __init__(self, changes: Mapping[Spot, Replacement]) -> None:
        super().__init__()
        self._changes = changes
        self._names = {name for name, _ in changes}
        self._turns: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = plain_name(func)
        if name not in self._names:
            return func(*args, **(kwargs or {}))
        turn = self._turns[name] = self._turns.get(name, -1) + 1
        change = self._changes.get((name, turn))
        return func(*args, **(kwargs or {})) if change is None else change(func, args, kwargs or {})
