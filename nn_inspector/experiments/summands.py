"""The summands that a loss is made of, found while it is computed on a copy."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.probes.origin import origin

_SUMS = frozenset({"add", "__add__", "__radd__", "add_", "__iadd__", "sub", "__sub__", "__rsub__"})
_MOST = 20


@dataclass(frozen=True, slots=True)
class Summand:
    """One term of a loss.

    Attributes:
        name: the operations that made it, the last first, such as "cross entropy", "mse" or "mul of sum".
        value: what it adds.
        gradient: norm of its gradient over all parameters that are trained; 0 if it has none.
    """

    name: str
    value: float
    gradient: float


def summands(copied: TrainingCopy, batch: Any, *, gradients: bool = True) -> list[Summand]:
    """The terms of the copy's loss on a batch; a single one where nothing is added up.

    Args:
        copied: a copy.
        batch: for it.
        gradients: whether their gradients are wanted; else they are 0.

    Raises:
        ExperimentError: the batch does not fit.
    """
    with _Additions() as additions:
        loss = copied.loss(batch)
    parameters: list[torch.Tensor] = [p for p in copied.model.parameters() if p.requires_grad and gradients]
    return [_describe(term, parameters) for term in list(additions.leaves(loss))[:_MOST]]


@contextlib.contextmanager
def reweighted(copied: TrainingCopy, weights: Sequence[float] | None) -> Iterator[None]:
    """Within the block, multiply the terms of the copy's loss by these weights; None leaves it as it is."""

    def reweighed(batch: Any) -> torch.Tensor:
        assert weights is not None, "it is not called without"
        copied.instead = None
        try:
            with _Additions() as additions:
                loss = copied.loss(batch)
        finally:
            copied.instead = reweighed
        terms = list(additions.leaves(loss))[:_MOST]
        if len(terms) != len(weights):
            raise ExperimentError("The loss has now more terms and now fewer.")
        signs = torch.autograd.grad(loss, terms, retain_graph=True, allow_unused=True)
        parts = [
            weight * sign.detach() * term
            for weight, sign, term in zip(weights, signs, terms, strict=True)
            if sign is not None
        ]
        return torch.stack([part.reshape(()) for part in parts]).sum()

    copied.instead = reweighed if weights is not None else None
    try:
        yield
    finally:
        copied.instead = None


class _Additions(TorchFunctionMode):
    """Remembers which numbers were added up to which."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in _SUMS and isinstance(result, torch.Tensor) and result.numel() == 1:
            parts = [part for part in args if isinstance(part, torch.Tensor) and part.numel() == 1]
            if len(parts) == 2 or (len(parts) == 1 and id(parts[0]) in self._made):
                self._made[id(result)] = (result, parts)
        return result

    def leaves(self, loss: torch.Tensor) -> Iterator[torch.Tensor]:
        """What the loss was added up of."""
        kept, parts = self._made.get(id(loss), (None, []))
        if kept is not loss:
            yield loss
            return
        for part in parts:
            yield from self.leaves(part) if part is not loss else [part]


def _describe(term: torch.Tensor, parameters: list[torch.Tensor]) -> Summand:
    gradient = 0.0
    if term.requires_grad and parameters:
        found = torch.autograd.grad(term.sum(), parameters, retain_graph=True, allow_unused=True)
        gradient = math.sqrt(sum(float(part.double().square().sum()) for part in found if part is not None))
    return Summand(_said(origin(term)[:2]), float(term.detach()), gradient)


def _said(operations: list[str]) -> str:
    """The operations that made a term, in words: without the axis that `origin` adds to some."""
    names = [name.partition(":")[0] for name in operations]
    if names == ["nll", "log_softmax"]:
        return "cross entropy"
    return " of ".join(names) if names else "a constant"
