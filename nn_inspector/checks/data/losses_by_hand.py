"""Losses that a loop computes itself, known again by what it does with prediction and target in its first steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import tensors_of
from nn_inspector.history import Run
from nn_inspector.probes import label_parts

DIFFERENCE = "difference"
"""A loss made of the difference of prediction and target."""

LOG_LOSS = "log loss"
"""A loss made of t * log(p) and (1 - t) * log(1 - p)."""

_BATCHES = 8
_LOGS = ("log", "log_", "logsigmoid", "log_sigmoid")


@dataclass(frozen=True, slots=True)
class ByHand:
    """A loss of the loop's own.

    Attributes:
        name: `DIFFERENCE` or `LOG_LOSS`.
        prediction, target: their shapes.
        ends: the operation that made the prediction, such as "sigmoid"; "" where it is not known.
        labels: what is right, of some batches, in its own type; None where it is not known which part of a batch it is.
    """

    name: str
    prediction: tuple[int, ...]
    target: tuple[int, ...]
    ends: str
    labels: torch.Tensor | None


def loss_by_hand(subject: Subject) -> ByHand | None:
    """The loss that the loop computes itself, if it is of a known kind."""
    found = next(_kinds(subject.run), None)
    if found is None:
        return None
    name, prediction, target, ends = found
    return ByHand(name, prediction, target, ends, _labels(subject, target))


def _kinds(run: Run) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...], str]]:
    functions: list[dict[str, Any]] = [dict(entry.facts) for entry in list(run.trace) if entry.call == "function"]
    logs = any(one["name"] in _LOGS and _made_of(one["of"], "prediction") for one in functions)
    for one in functions:
        of, shapes = one["of"], [_sizes(text) for text in one["shapes"]]
        if logs and one["name"] == "rsub" and of == ["target"]:
            yield LOG_LOSS, shapes[0], shapes[0], ""
        elif one["name"] in ("sub", "rsub") and len(of) == 2 and "target" in of and _made_of(of, "prediction"):
            place = of.index("target")
            yield DIFFERENCE, shapes[1 - place], shapes[place], _before_difference(run)


def _before_difference(run: Run) -> str:
    """What the prediction is made by, if that can be followed from backward()."""
    for entry in list(run.trace):
        made = entry.facts.get("origin") if entry.call == "backward" else None
        if isinstance(made, list):
            names = [str(name) for name in made]
            return next((after for before, after in pairwise(names) if before in ("sub", "rsub")), "")
    return ""


def went_below_zero(run: Run) -> bool:
    """Whether the loss did, as one made of logarithms of shares never does with targets from 0 to 1."""
    curve = LossCurve.of(run)
    return bool(curve.total) and math.isfinite(curve.best) and curve.best < -0.01


def _made_of(of: Iterable[str], what: str) -> bool:
    return any(what in one.split("+") for one in of)


def _sizes(text: str) -> tuple[int, ...]:
    return () if text == "scalar" else tuple(int(size) for size in text.split("x"))


def _labels(subject: Subject, target: Sequence[int]) -> torch.Tensor | None:
    """The last part of the batches that has as many numbers for each item as the target."""
    try:
        batches = subject.batches(_BATCHES)
    except ExperimentError:
        return None
    found = []
    for batch in batches:
        parts = [tensor for _, part in label_parts(batch) for tensor in tensors_of(part)]
        fitting = [part for part in parts if part.dim() and part[0].numel() == math.prod(target[1:])]
        found += [fitting[-1].detach().cpu()] if fitting else []
    alike = [one for one in found if one.shape[1:] == found[0].shape[1:]]
    return torch.cat(alike) if alike else None
