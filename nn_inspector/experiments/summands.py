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
_SCALINGS = frozenset(
    {"mul", "__mul__", "__rmul__", "div", "truediv", "__truediv__", "__div__", "mean", "sum", "neg", "__neg__"}
)
_MOST = 20


@dataclass(frozen=True, slots=True)
class Summand:
    """One term of a loss.

    Attributes:
        name: the operations that made it, the last first, such as "cross entropy", "mse" or "mul of sum".
        value: what it adds, after all that the sum is multiplied with.
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
    terms, factor = additions.leaves(loss)
    return [_describe(term, factor, parameters) for term in terms[:_MOST]]


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
        terms = additions.leaves(loss)[0][:_MOST]
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
    """Remembers which numbers were added up to which, and which sum was then multiplied as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}
        self._scaled: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if isinstance(result, torch.Tensor) and result.numel() == 1:
            parts = [part for part in args if isinstance(part, torch.Tensor) and part.numel() == 1]
            known = [part for part in parts if id(part) in self._made or id(part) in self._scaled]
            if name in _SUMS and (len(parts) == 2 or (len(parts) == 1 and (known or _begins_a_sum(args)))):
                self._made[id(result)] = (result, parts)
            elif name in _SCALINGS and len(known) == 1 and sum(part.requires_grad for part in parts) == 1:
                self._scaled[id(result)] = (result, known[0])
        return result

    def leaves(self, loss: torch.Tensor) -> tuple[list[torch.Tensor], float]:
        """What the loss was added up of, and by what the whole sum was multiplied after that."""
        total = loss
        while self._scaled.get(id(total), (None, total))[0] is total:
            total = self._scaled[id(total)][1]
        return list(self._parts(total)), _ratio(loss, total)

    def _parts(self, total: torch.Tensor) -> Iterator[torch.Tensor]:
        kept, parts = self._made.get(id(total), (None, []))
        if kept is not total:
            yield total
            return
        for part in parts:
            yield from self._parts(part) if part is not total else [part]


def _begins_a_sum(args: tuple[Any, ...]) -> bool:
    """Whether a term is added to zero, as `sum()` does and `total = 0` before a loop."""
    return any(isinstance(part, int | float) and part == 0 for part in args)


def _ratio(result: torch.Tensor, part: torch.Tensor) -> float:
    before, after = float(part.detach()), float(result.detach())
    return after / before if before and math.isfinite(after / before) else 1.0


def _describe(term: torch.Tensor, factor: float, parameters: list[torch.Tensor]) -> Summand:
    gradient = 0.0
    if term.requires_grad and parameters:
        found = torch.autograd.grad(term.sum(), parameters, retain_graph=True, allow_unused=True)
        gradient = abs(factor) * math.sqrt(
            sum(float(part.double().square().sum()) for part in found if part is not None)
        )
    return Summand(_said(origin(term)), factor * float(term.detach()), gradient)


def _said(operations: list[str]) -> str:
    """The operations that made a term, in words: without the axis that `origin` adds to some."""
    whole = " of ".join(name.partition(":")[0] for name in operations).replace("nll of log_softmax", "cross entropy")
    names = whole.split(" of ")
    return " of ".join(names[: 1 if names[0] == "cross entropy" else 2]) or "a constant"
