"""A copy whose cross entropy is given something else than its loss gives it: weights of the classes, larger scores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from nn_inspector.experiments.isolation import TrainingCopy

_WEIGHED: tuple[Callable[..., torch.Tensor], ...] = (F.cross_entropy, F.nll_loss)
_YES_OR_NO: tuple[Callable[..., torch.Tensor], ...] = (
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
)
_PLACE = 2

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Change = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], _Arguments]


@contextlib.contextmanager
def class_weights(copied: TrainingCopy, weights: torch.Tensor) -> Iterator[None]:
    """Within the block, the copy's loss calls cross_entropy and nll_loss with these weights, whatever it gives them itself.

    Args:
        copied: a copy.
        weights: of the classes, [classes].
    """

    def weigh(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments:
        if func not in _WEIGHED:
            return args, kwargs
        own = weights.to(args[0] if args else kwargs["input"])
        if len(args) > _PLACE:
            return (*args[:_PLACE], own, *args[_PLACE + 1 :]), kwargs
        return args, {**kwargs, "weight": own}

    _change_calls(copied, weigh)
    try:
        yield
    finally:
        copied.instead = None


@contextlib.contextmanager
def yes_weights(copied: TrainingCopy, weights: torch.Tensor) -> Iterator[None]:
    """Within the block, the copy's binary cross entropy counts each target of 1 as often as these weights say.

    Args:
        copied: a copy.
        weights: of each column of the targets, [columns].
    """

    def weigh(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments:
        if func not in _YES_OR_NO or len(args) > _PLACE:
            return args, kwargs
        target = args[1] if len(args) > 1 else kwargs["target"]
        return args, {**kwargs, "weight": 1 + (weights.to(target) - 1) * target}

    _change_calls(copied, weigh)
    try:
        yield
    finally:
        copied.instead = None


def scale_scores(copied: TrainingCopy, factor: float) -> None:
    """From now on the copy's loss calls cross_entropy on `factor` times the scores."""

    def scale(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments:
        if func is not F.cross_entropy:
            return args, kwargs
        return ((factor * args[0], *args[1:]), kwargs) if args else ((), {**kwargs, "input": factor * kwargs["input"]})

    _change_calls(copied, scale)


def _change_calls(copied: TrainingCopy, change: _Change) -> None:
    def changed(batch: Any) -> torch.Tensor:
        copied.instead = None
        try:
            with _Changed(change):
                return copied.loss(batch)
        finally:
            copied.instead = changed

    copied.instead = changed


class _Changed(TorchFunctionMode):
    def __init__(self, change: _Change) -> None:
        super().__init__()
        self._change = change

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = self._change(func, args, kwargs or {})
        return func(*args, **kwargs)
