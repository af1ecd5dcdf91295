"""Rules about a loss whose labels or targets are mixed up."""

from __future__ import annotations

import math
from typing import Any

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.path import without_logarithm
from nn_inspector.checks.judging.reading import Judged, sizes_of

OUTSIDE = 0.01
"""From this share of the targets on, being no probability is more than rounding."""

_SLACK = 0.05

CLASS_CODE = "loss = torch.nn.functional.cross_entropy(model(x), y)  # on the plain scores [items, classes]"


def one_label_for_all(subject: Subject, seen: Judged) -> Complaint | None:
    """Labels that are multiplied with the scores of all classes."""
    targets = seen.targets
    if targets is None or not targets.whole or seen.loss or math.prod(targets.shape[1:]) != 1 or targets.low < 0:
        return None
    operation = next(iter(without_logarithm(seen.path)), None)
    if operation is None or operation.name not in ("softmax", "log_softmax", "sigmoid", "linear", "log_sigmoid"):
        return None
    if any(_chooses(fact) for fact in seen.functions):
        return None
    width = next((wide for fact in seen.functions if (wide := _spread_label(fact)) is not None), None)
    if width is None:
        return None
    numbers = targets.high > 1
    return Complaint(
        "error",
        f"The label of an item is multiplied with the scores of all {width} classes. "
        + (
            f"It is a class number from {targets.low:.0f} to {targets.high:.0f}, no row with a 1 for the right class: the loss "
            "pushes all classes alike, class 5 five times as hard, and class 0 not at all."
            if numbers
            else "So all outputs of an item are told the same, yes or no, while a softmax makes them sum to 1: they cannot obey."
        ),
        "Use CrossEntropyLoss: it takes class numbers as they are.",
        "loss = torch.nn.functional.cross_entropy(model(x), y.long().flatten())  # on the plain scores [items, classes]",
        where="loop",
        evidence={"classes": float(width)},
    )


def no_minus(subject: Subject, seen: Judged) -> Complaint | None:
    """The logarithm of the right class's probability as a loss, without the minus: it is made smaller."""
    targets = seen.targets
    if (
        targets is None
        or seen.loss
        or seen.judge not in ("log probabilities", "logarithm")
        or not targets.about_classes
    ):
        return None
    operation = next(iter(without_logarithm(seen.path)), None)
    if operation is None or operation.name not in ("softmax", "log_softmax"):
        return None
    if not set(seen.before) <= {"mean", "sum", "div", "mul", "log"} or not any(_picks(fact) for fact in seen.functions):
        return None
    if any(group.get("maximize") for optimizer in subject.training.optimizers for group in optimizer.param_groups):
        return None
    return Complaint(
        "error",
        "The loss that you write by hand is the logarithm of the right class's probability, without a minus before it. "
        "Training makes a loss small, so here it makes the right class unlikely.",
        "Put a minus before it, or use CrossEntropyLoss on the plain scores.",
        f"loss = -loss\n# or: {CLASS_CODE}",
        where="loop",
    )


def targets_are_no_probabilities(subject: Subject, seen: Judged) -> Complaint | None:
    """A cross entropy of yes and no, or a Poisson loss, for other numbers."""
    targets = seen.targets
    if targets is None:
        return None
    if seen.loss == "poisson_nll_loss" and targets.low < 0:
        return Complaint(
            "error",
            f"{seen.name} is for counts, but the targets go down to {targets.low:.4g}. For a negative one the loss falls without "
            "limit as the prediction grows the wrong way.",
            "Use MSELoss for numbers that may be negative.",
            "loss = torch.nn.functional.mse_loss(model(x), y)",
            evidence={"targets": [targets.low, targets.high]},
        )
    binary = seen.judge in ("logits", "probabilities") or _binary_by_hand(seen)
    share = targets.outside(0.0, 1.0)
    if (
        not binary
        or targets.class_numbers
        or share < OUTSIDE
        or (targets.low >= -_SLACK and targets.high <= 1 + _SLACK)
    ):
        return None
    two = targets.whole and targets.distinct == 2
    signs = two and targets.low == -1 and targets.high == 1
    if two and (targets.high - targets.low == 1 or targets.low == 0) and not _binary_by_hand(seen):
        return None  # two classes that are counted from elsewhere, such as 1 and 2, or a mask of 0 and 255: `label_range` is about them
    return Complaint(
        "error",
        f"{seen.name} compares probabilities, but the targets lie between {targets.low:.4g} and {targets.high:.4g}: {share:.0%} of "
        "them are no probability. For those the loss falls without limit as the network moves away from them.",
        "Make the labels -1 and 1 to 0 and 1."
        if signs
        else "To predict numbers, use MSELoss and no sigmoid at the end.",
        "y = (y + 1) / 2" if signs else "loss = torch.nn.functional.mse_loss(model(x), y)",
        evidence={"targets": [targets.low, targets.high], "share_outside": share},
    )


def _binary_by_hand(seen: Judged) -> bool:
    """Whether a loss by hand has the form t log p + (1 - t) log(1 - p)."""
    turned = [fact for fact in seen.functions if fact["name"] == "rsub"]
    return seen.judge == "logarithm" and any(fact["of"] == ["target"] for fact in turned)


def _chooses(fact: Any) -> bool:
    """Whether labels are used to choose among scores, or made to rows."""
    if fact["name"] in ("one_hot", "eq", "scatter", "scatter_"):
        return True
    both = "+".join(fact["of"]).split("+")
    if fact["name"] == "mul" and {"prediction", "target"} <= set(both):
        return bool(fact["shapes"][0] == fact["shapes"][-1])
    return fact["name"] in ("gather", "getitem", "take_along_dim", "index_select") and {"prediction", "target"} <= set(
        both
    )


def _picks(fact: Any) -> bool:
    """Whether labels pick the score of the right class."""
    both = "+".join(fact["of"]).split("+")
    return fact["name"] in ("gather", "getitem", "take_along_dim") and {"prediction", "target"} <= set(both)


def _spread_label(fact: Any) -> int | None:
    """Of a product of one label and several scores for each item, how many scores."""
    if fact["name"] != "mul" or len(fact["shapes"]) != 2 or "target" not in fact["of"]:
        return None
    place = fact["of"].index("target")
    label, scores = sizes_of(fact["shapes"][place]), sizes_of(fact["shapes"][1 - place])
    fits = len(scores) == 2 and scores[1] > 1 and label == [scores[0], 1] and "prediction" in fact["of"][1 - place]
    return scores[1] if fits else None
