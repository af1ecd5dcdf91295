"""What a loss can be compared with, as far as the traced first steps tell: no experiment is made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from nn_inspector.checks.train.levels import LossLevels
from nn_inspector.history import Run
from nn_inspector.probes import TraceEntry
from nn_inspector.probes.loss_calls import LOSS_FUNCTIONS
from nn_inspector.probes.measurement import Fact

_NAMES = frozenset(LOSS_FUNCTIONS.values())
_CLASSES = ("cross_entropy", "nll_loss")
_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
_NUMBERS = ("mse_loss", "l1_loss")
_LATE = 5


def traced_levels(run: Run) -> LossLevels | None:
    """The levels of the only loss function of torch's that the loop calls once a step, where its facts tell them.

    Chance is never put too low: for classes it is the entropy of the labels that the loader handed out if they fit, else
    that of equally frequent ones; for numbers it comes from the spread of the targets, at first or late,
    whichever is larger.
    """
    calls = _only_calls(run)
    facts = [call.facts for call in calls if "target_mean" in call.facts]
    if not facts or facts[0].get("weighted") or facts[0].get("reduction", "mean") != "mean":
        return None
    name = calls[0].call
    if facts[0].get("label_smoothing"):
        return None
    chance = _chance(run, name, facts)
    if chance is None or not chance > 0 or not math.isfinite(chance):
        return None
    return LossLevels(chance, 0.0, "numbers" if name in _NUMBERS else "classes", name)


def _only_calls(run: Run) -> list[TraceEntry]:
    """The loss calls of the training phase, if each traced step has one and all are of one function."""
    calls = [e for e in list(run.trace) if e.call in _NAMES and e.facts.get("phase", "train") == "train"]
    per_step = Counter(call.step for call in calls)
    return calls if len({call.call for call in calls}) == 1 and max(per_step.values()) == 1 else []


def _chance(run: Run, name: str, facts: list[Mapping[str, Fact]]) -> float | None:
    first = facts[0]
    if name in _CLASSES and "int" in str(first.get("target_dtype")):
        shape = first.get("prediction_shape")
        classes = int(shape[1]) if isinstance(shape, list) and len(shape) > 1 else 0
        highest = max(_number(one, "target_high") for one in facts)
        return min(math.log(classes), _label_entropy(run, classes, highest)) if classes > 1 else None
    mean, spread = (float(np.mean([_number(one, f"target_{what}") for one in facts])) for what in ("mean", "spread"))
    if name in _BINARY:
        known = first.get("target_whole") and _number(first, "target_low") >= 0 and _number(first, "target_high") <= 1
        return _entropy(np.array([mean, 1 - mean])) if known else None
    spread = max(spread, late_target_spread(run))
    if name == "mse_loss":
        return spread**2
    return spread if name == "l1_loss" else None


def late_target_spread(run: Run) -> float:
    """Spread of the targets in the last measured steps: 0 if it is not known. Targets that a network makes may grow."""
    late = run.series("target_spread", "train").values[-_LATE:]
    late = late[np.isfinite(late)]
    return float(np.median(late)) if len(late) else 0.0


def _label_entropy(run: Run, classes: int, highest: float) -> float:
    """Of the labels of the first pass over the training loader; infinite if they are not those of the loss."""
    counts = next((epoch.class_counts for epoch in run.epochs("train")), np.zeros(0))
    fits = np.count_nonzero(counts) > 1 and highest < len(counts) <= classes
    return _entropy(counts / counts.sum()) if fits else math.inf


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _number(facts: Mapping[str, Fact], name: str) -> float:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else math.nan
