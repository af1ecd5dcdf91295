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

_GROWN = 2.0
"""Targets whose spread is so many times what it was in the traced steps have grown: a network makes them."""


def traced_levels(run: Run) -> LossLevels | None:
    """The levels of the only loss function of torch's that the loop calls once a step, where its facts tell them.

    Chance is never put too low: for classes it is the entropy of the labels that the loader handed out if they fit, else
    that of equally frequent ones; for numbers it comes from the spread of the targets, at first or late,
    whichever is larger.
    """
    name, facts = _plain_calls(run)
    chance = _chance(run, name, facts) if facts else None
    if chance is None or not _is_level(chance):
        return None
    return LossLevels(chance, 0.0, "numbers" if name in _NUMBERS else "classes", name)


def steady_chance(run: Run) -> float | None:
    """Chance as a level that a picture can show beside the loss while it is measured: it does not move with each step.

    For classes it is that of equally frequent ones until the first pass over the loader is complete, then the entropy of its
    labels; for numbers the variance of the targets in the traced steps. None where it is not known: for the absolute error, whose
    chance the spread tells only roughly, and for targets that have grown since.
    """
    name, facts = _plain_calls(run)
    if not facts or name == "l1_loss":
        return None
    if name in _NUMBERS and late_target_spread(run) > _GROWN * float(
        np.mean([_number(one, "target_spread") for one in facts])
    ):
        return None
    first = next(iter(run.epochs("train")), None)
    with_labels = first is not None and first.complete
    chance = _chance(run, name, facts, with_labels=with_labels, late=False)
    return chance if chance is not None and _is_level(chance) else None


def _plain_calls(run: Run) -> tuple[str, list[Mapping[str, Fact]]]:
    """The only loss function and the facts of its calls; no facts where it is weighted, smoothed, or takes no mean."""
    calls = _only_calls(run)
    facts = [call.facts for call in calls if "target_mean" in call.facts]
    if not facts or facts[0].get("weighted") or facts[0].get("reduction", "mean") != "mean":
        return "", []
    return (calls[0].call, facts) if not facts[0].get("label_smoothing") else ("", [])


def _is_level(chance: float) -> bool:
    return chance > 0 and math.isfinite(chance)


def _only_calls(run: Run) -> list[TraceEntry]:
    """The loss calls of the training phase, if each traced step has one and all are of one function."""
    calls = [e for e in list(run.trace) if e.call in _NAMES and e.facts.get("phase", "train") == "train"]
    per_step = Counter(call.step for call in calls)
    return calls if len({call.call for call in calls}) == 1 and max(per_step.values()) == 1 else []


def _chance(
    run: Run, name: str, facts: list[Mapping[str, Fact]], *, with_labels: bool = True, late: bool = True
) -> float | None:
    """What chance gives: with the frequencies of the labels that the loader handed out, and with the targets of late steps."""
    first = facts[0]
    if name in _CLASSES and "int" in str(first.get("target_dtype")):
        shape = first.get("prediction_shape")
        classes = int(shape[1]) if isinstance(shape, list) and len(shape) > 1 else 0
        highest = max(_number(one, "target_high") for one in facts)
        if classes < 2:
            return None
        return min(math.log(classes), _label_entropy(run, classes, highest) if with_labels else math.inf)
    mean, spread = (float(np.mean([_number(one, f"target_{what}") for one in facts])) for what in ("mean", "spread"))
    if name in _BINARY:
        known = first.get("target_whole") and _number(first, "target_low") >= 0 and _number(first, "target_high") <= 1
        return _entropy(np.array([mean, 1 - mean])) if known else None
    if late:
        spread = max(spread, late_target_spread(run))
    if spread == 0:  # what is to be zero is a difference already: of its own scale nothing is known
        return None
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
