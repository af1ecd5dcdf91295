"""What a part of the loss that compares with targets would be for answers that know nothing of the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from nn_inspector.checks.init.chance import chance_level
from nn_inspector.checks.train.levels import pooled
from nn_inspector.experiments.summands import Summand
from nn_inspector.probes import LossCall

_FEWEST_ITEMS = 32
_NUMBERS = frozenset({"mse_loss", "smooth_l1_loss", "huber_loss"})
_BINARY = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
_IN_ORIGIN = {
    "cross_entropy": "cross entropy",
    "nll_loss": "nll",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_with_logits",
}


def call_of(part: Summand, calls: Sequence[LossCall]) -> int | None:
    """Which of the calls of loss functions in a pass made a part, known by its value; None where that is not one alone."""
    found = [n for n, call in enumerate(calls) if _is_close(float(call.value.detach().float().mean()), part.value)]
    if not found:
        found = calls_of_its_kind(part, calls)
    return found[0] if len(found) == 1 else None


def calls_of_its_kind(part: Summand, calls: Sequence[LossCall]) -> list[int]:
    """The calls of the loss functions that its name holds."""
    words = part.name.split(" of ")
    return [number for number, call in enumerate(calls) if _said(call.name) in words]


@dataclass(frozen=True, slots=True)
class PartLevel:
    """A part against what the loss function that makes it returns.

    Attributes:
        weight: the part is so many times the mean over the numbers that are compared.
        constant: what it would be for constant answers, one for each number that is predicted; infinite if not known.
        least: what it is for perfect answers: above 0 for probabilities of yes that are no plain yes or no.
    """

    weight: float
    constant: float
    least: float = 0.0


def level_of(calls: Sequence[LossCall], value: float) -> PartLevel | None:
    """The level of a part.

    Args:
        calls: of the loss function that makes it, one a batch.
        value: of the part, on the same batches.

    Returns:
        None where it cannot be told, or of too few items to tell a mean.
    """
    call = pooled(calls)
    if not call.target.dim() or len(call.target) < _FEWEST_ITEMS:
        return None
    call = replace(call, options={**call.options, "reduction": "mean"})
    function = getattr(F, call.name)
    returned = float(function(call.prediction, call.target, **call.options))
    if not returned or not math.isfinite(value / returned):
        return None
    if call.name in _NUMBERS and call.prediction.shape == call.target.shape:
        mean = call.target.float().mean(0, keepdim=True).expand_as(call.target)
        constant = float(function(mean, call.target.float(), **call.options))
    else:
        chance = chance_level(call)
        constant = chance.low if chance is not None else math.inf
    weight = value / returned
    return PartLevel(weight, weight * constant, weight * _least(call))


def _least(call: LossCall) -> float:
    """What the loss function returns if each answer is its target."""
    if call.name not in _BINARY or call.prediction.shape != call.target.shape:
        return 0.0
    target = call.target.detach().float()
    return float(F.binary_cross_entropy(target, target)) if bool(((target >= 0) & (target <= 1)).all()) else 0.0


def has_targets_of_its_own(first: Sequence[LossCall], now: Sequence[LossCall]) -> bool:
    """Whether what is compared with comes from the data: the same at the first weights as now."""
    pairs = [(a.target, b.target) for a, b in zip(first, now, strict=True)]
    return all(
        not b.requires_grad and a.shape == b.shape and torch.equal(a.detach(), b.detach())
        for a, b in pairs
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    )


def _said(name: str) -> str:
    """How `origin` says a loss function."""
    return _IN_ORIGIN.get(name, name.removesuffix("_loss"))


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-4)
