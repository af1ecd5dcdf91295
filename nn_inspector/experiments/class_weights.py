"""A copy whose cross entropy counts some classes for more than others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from nn_inspector.experiments.isolation import TrainingCopy

_WEIGHED: tuple[Callable[..., torch.Tensor], ...] = (F.cross_entropy, F.nll_loss)
_PLACE = 2


@contextlib.contextmanager
def class_weights(copied: TrainingCopy, weights: torch.Tensor) -> Iterator[None]:
    """Within the block, the copy's loss calls cross_entropy and nll_loss with these weights, whatever it gives them itself.

    Args:
        copied: a copy.
        weights: of the classes, [classes].
    """

    def weighed(batch: Any) -> torch.Tensor:
        copied.instead = None
        try:
            with _Weights(weights):
                return copied.loss(batch)
        finally:
            copied.instead = weighed

    copied.instead = weighed
    try:
        yield
    finally:
        copied.instead = None


class _Weights(TorchFunctionMode):
    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self._weights = weights

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _WEIGHED:
            scores = args[0] if args else kwargs["input"]
            weights = self._weights.to(scores)
            if len(args) > _PLACE:
                args = (*args[:_PLACE], weights, *args[_PLACE + 1 :])
            else:
                kwargs["weight"] = weights
        return func(*args, **kwargs)
