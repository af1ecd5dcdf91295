"""A choice among cosines without a temperature: scores that all lie between -1 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.contest import Contest
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.race import known_left, race
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, initial_state, isolated
from nn_inspector.experiments.entropy_calls import scale_scores
from nn_inspector.probes import CallMode, LossCall

TEMPERATURE = 0.07
"""The usual one: CLIP begins with it, MoCo keeps it."""

UNSCALED = 1.2
"""Cosines that are multiplied with no more than this have no temperature to speak of."""

FLOOR = 0.3
"""With so large a share of the loss of chance, the least possible loss is far from 0."""

_SAME = 1e-3
_PRODUCTS = frozenset({"matmul", "__matmul__", "mm", "bmm", "linear", "einsum"})


def cosines_without_temperature(subject: Subject, seen: Judged) -> Complaint | None:
    """A cross entropy over products of vectors of length 1: its loss stays high, however right the answers are."""
    if seen.loss != "cross_entropy" or len(seen.prediction) != 2 or subject.seconds <= 0:
        return None
    if seen.low is None or seen.high is None or max(-seen.low, seen.high) > UNSCALED:
        return None
    scale = subject.once("scale of cosines", lambda: _steady_scale(subject))
    candidates = seen.prediction[1]
    if scale is None or scale > UNSCALED or candidates < 2:
        return None
    floor, chance = math.log1p((candidates - 1) * math.exp(-2 * scale)), math.log(candidates)
    if floor < FLOOR * chance:
        return None
    found = subject.once("race with a temperature", lambda: race(subject, _with_temperature(scale)))
    if found is None or found.severity == "info":
        return None
    return Complaint(
        found.severity,
        f"the scores that {seen.name} gets are cosines, products of vectors of length 1, so that they all lie between "
        f"{-scale:.2g} and {scale:.2g}. Among {candidates} of them the right one can never get nearly all of the probability: the "
        f"loss cannot fall below {floor:.2f}, where chance has {chance:.2f}.",
        f"Divide the cosines by a temperature: {TEMPERATURE} is usual, and it may be learned.",
        f"scores = a @ b.T / {TEMPERATURE}  # a, b: rows of length 1\nloss = torch.nn.functional.cross_entropy(scores, right)",
        where="loop",
        evidence={"scale": scale, "least_loss": floor, "loss_of_chance": chance},
        contest=Contest(found, known_left(subject), well=False),
    )


def _with_temperature(scale: float) -> Callable[[TrainingCopy], None]:
    return lambda copied: scale_scores(copied, 1 / (TEMPERATURE * scale))


def _steady_scale(subject: Subject) -> float | None:
    """What the cosines are multiplied with before the loss gets them; None if they are none, or it is learned."""
    try:
        batch = subject.batches()[0]
        scales = []
        for start in (initial_state(subject.training, subject.run), Start()):
            with isolated(subject.training, start=start) as copied:
                scales.append(scale_of_cosines(copied, batch))
    except ExperimentError:
        return None
    first, now = scales
    return first if first is not None and now is not None and abs(now - first) < _SAME else None


def scale_of_cosines(copied: TrainingCopy, batch: Any) -> float | None:
    """The factor between cosines and what the loss of a copy calls cross_entropy on.

    Returns:
        None if some scores are no cosines, all with the same factor.
    """
    products = _Products()
    calls: list[LossCall] = []
    with torch.no_grad(), CallMode(calls.append), products:
        copied.loss(batch)
    entropies = [call for call in calls if call.name == "cross_entropy"]
    scales = [_factor(call, products.cosines) for call in entropies]
    known = [one for one in scales if one is not None]
    return known[0] if known and len(known) == len(scales) and max(known) - min(known) < _SAME else None


def _factor(call: LossCall, cosines: Sequence[torch.Tensor]) -> float | None:
    scores = call.prediction.detach().float()
    for product in reversed(cosines):
        for one in (product, product.mT):
            if one.shape != scores.shape:
                continue
            held = scores.isfinite() & (scores > -10)  # what a mask leaves out is no cosine
            factor = float((scores[held] * one[held]).sum() / one[held].square().sum())
            if factor > 0 and bool(((scores - factor * one)[held].abs() < _SAME).all()):
                return factor
    return None


class _Products(TorchFunctionMode):
    """Remembers the products of vectors of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.cosines: list[torch.Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        table = isinstance(result, torch.Tensor) and result.dim() == 2 and result.is_floating_point()
        if table and (func is F.cosine_similarity or (name in _PRODUCTS and _of_length_one(name, args))):
            self.cosines.append(result.detach().float())
        return result


def _of_length_one(name: str, args: tuple[Any, ...]) -> bool:
    factors = [one for one in args if isinstance(one, torch.Tensor)]
    if len(factors) != 2 or any(one.dim() < 2 or one.numel() == 0 for one in factors):
        return False
    along = (-1, -1) if name in ("linear", "einsum") else (-1, -2)
    lengths = [one.detach().float().norm(dim=axis) for one, axis in zip(factors, along, strict=True)]
    return all(bool(((length - 1).abs() < _SAME).all()) for length in lengths)
