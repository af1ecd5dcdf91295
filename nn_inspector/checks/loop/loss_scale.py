"""How much larger or smaller the gradient of a step is than that of the mean loss of its items."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nn_inspector.history import Run
from nn_inspector.probes import TraceEntry
from nn_inspector.probes.loss_calls import LOSS_FUNCTIONS

UNUSUAL = 4.0
"""From this factor on a step differs enough from that of a mean to be looked at."""

_NAMES = frozenset(LOSS_FUNCTIONS.values())
_FACTORS = frozenset({"mul", "div", "neg", "sum", "mean", "squeeze", "to"})
_BY_CLASS = ("cross_entropy", "nll_loss", "multi_margin_loss")


@dataclass(frozen=True, slots=True)
class LossScale:
    """What a step's gradient is multiplied with, against the mean over all that the loss is made of.

    A factor that the loop takes from the gradients again, as a gradient scaler does, is no part of it.

    Attributes:
        factor: above 1 for a sum, below 1 where the mean is divided once more.
        items: how many numbers the loss is made of.
        how: "sum" if they are added up, else "mean".
    """

    factor: float
    items: int
    how: Literal["sum", "mean"]


def loss_scale(run: Run) -> LossScale | None:
    """The scale of the first traced step; None where it is not known."""
    return next(_scales(list(run.trace)), None)


def _scales(trace: Sequence[TraceEntry]) -> Iterator[LossScale]:
    for step in _steps(trace):
        backwards = [place for place, entry in enumerate(step) if entry.call == "backward"]
        if not backwards or "value" not in step[backwards[0]].facts:
            continue
        before = step[: backwards[0] + 1]
        losses = [entry for entry in before if entry.call in _NAMES and "value" in entry.facts]
        found = _of_function(losses[0], before[-1]) if len(losses) == 1 else None
        if not losses:
            found = _by_hand(before)
        if found is not None:
            yield LossScale(found.factor * len(backwards) * _rescaled(step), found.items, found.how)


def _rescaled(step: Sequence[TraceEntry]) -> float:
    """By what the loop multiplies the gradients before the step."""
    factors: list[dict[str, Any]] = [dict(entry.facts) for entry in step if entry.call == "rescale"]
    return float(factors[0]["before"] * factors[0]["after"]) if factors else 1.0


def _steps(trace: Sequence[TraceEntry]) -> Iterator[list[TraceEntry]]:
    gathered: list[TraceEntry] = []
    for entry in trace:
        if entry.facts.get("phase") == "validation" or entry.facts.get("role") == "validation":
            continue
        if entry.call == "step":
            yield gathered
            gathered = []
        else:
            gathered.append(entry)


def _of_function(loss: TraceEntry, backward: TraceEntry) -> LossScale | None:
    facts: dict[str, Any] = dict(loss.facts)
    made = [str(name) for name in backward.facts.get("origin") or ()]  # type: ignore[union-attr]
    value, objective = float(facts["value"]), float(backward.facts["value"])  # type: ignore[arg-type]
    numbers = math.prod(facts["target_shape"] if loss.call in _BY_CLASS else facts["prediction_shape"])
    reduction = facts.get("reduction", "mean")
    if loss.call not in made:
        return None
    plain = set(made[: made.index(loss.call)]) <= _FACTORS
    if not plain or not value or not math.isfinite(objective / value):
        return LossScale(numbers, numbers, "sum") if reduction == "sum" else None
    ratio = abs(objective / value)
    if reduction == "sum":
        return LossScale(ratio * numbers, numbers, "sum")
    summed = reduction == "none" and "sum" in made
    return LossScale(ratio, numbers, "sum" if summed else "mean")


def _by_hand(before: Sequence[TraceEntry]) -> LossScale | None:
    """A sum over all items that the loop computes itself, and that nothing divides."""
    made = [str(name) for name in before[-1].facts.get("origin") or ()]  # type: ignore[union-attr]
    if "sum" not in made or not set(made[: made.index("sum")]) <= {"neg"}:
        return None
    functions: list[dict[str, Any]] = [dict(entry.facts) for entry in before if entry.call == "function"]
    last = next((one for one in reversed(functions) if one["name"] == "sum"), None)
    if last is None or last["result_shape"] != [] or "prediction" not in "+".join(last["of"]):
        return None
    items = int(last["shapes"][0].partition("x")[0]) if last["shapes"][0] != "scalar" else 1
    return LossScale(items, items, "sum")
