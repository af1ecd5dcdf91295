"""What each loss function takes as targets, and what is said about others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from nn_inspector.checks.data.losses_by_hand import DIFFERENCE, LOG_LOSS
from nn_inspector.checks.data.losses_seen import Given
from nn_inspector.history import Severity

SMOOTH = 0.25
"""Targets of a binary cross entropy may be so far beyond 0 and 1: a few networks that play against each other do that on
purpose."""

DIVIDED = 0.1
"""A yes and a no that are no farther apart than this were divided by something, by 255 mostly."""

OUT_OF_REACH = (0.1, 0.3)
"""Share of the targets' variation that the last layer cannot reach: from the first on a warning, from the second on an
error. Whatever it learns, that much is left."""

REACHES: Mapping[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
"""What activations give."""

CLASS_LOSSES = ("cross_entropy", "nll_loss", "multi_margin_loss")
"""They take class numbers."""

MOST_CLASSES = 50
"""Whole numbers from 0 up to here are taken for numbers of classes, larger ones for shades of grey or percentages."""

_RARE = 0.01


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with targets.

    Attributes:
        severity: "error", "warning" or "info".
        message: what they are, what is wanted, and what it does.
        advice: what to do.
        code: the same as code.
        evidence: its numbers.
    """

    severity: Severity
    message: str
    advice: str
    code: str
    evidence: Mapping[str, float] = field(default_factory=dict)


def verdict_on(given: Given) -> Verdict | None:
    """What is wrong with the targets of a loss function; None if nothing is, or its targets can be any numbers."""
    rule = _RULES.get(given.name)
    return rule(given) if rule is not None else None


def range_of(given: Given) -> str:
    """The targets in a few words."""
    return f"{number(given.low)} to {number(given.high)}"


def number(value: float) -> str:
    """A number for a person.

    Example:
        >>> number(3.0), number(20000.0), number(0.123456)
        ('3', '20,000', '0.123')
    """
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.3g}"


def _classes(given: Given) -> Verdict | None:
    classes = given.prediction[1 if len(given.prediction) > 1 else 0]
    wanted = given.prediction[:1] + given.prediction[2:] if len(given.prediction) > 1 else ()
    if given.floating and given.target == given.prediction and given.name == "cross_entropy":
        return _shares(given, classes)
    if given.target != wanted:
        return _class_shape(given, wanted)
    if given.dtype not in ("int64", "uint8"):
        return Verdict(
            "error",
            f"No: the labels are {given.dtype} numbers, but {given.name} takes whole class numbers (int64).",
            "Make the labels whole numbers.",
            "labels = labels.long()",
        )
    counted = given.values[given.values != given.options.get("ignore_index", -100)]
    beyond = (counted < 0) | (counted >= classes)
    if not bool(beyond.any()):
        return None
    low, high = int(counted.min()), int(counted.max())
    advice, code = _class_advice(low, high, classes)
    outputs = f"{classes} outputs, which stand for the classes 0 to {classes - 1}"
    return Verdict(
        "error",
        f"No: the labels go from {low} to {high}, but the network has "
        f"{outputs if classes > 1 else 'one output, which stands for class 0 alone'}.",
        advice,
        code,
        {"lowest": low, "highest": high, "outputs": classes, "beyond": float(beyond.double().mean())},
    )


def _class_advice(low: int, high: int, classes: int) -> tuple[str, str]:
    if low >= 1 and high - low < classes:
        return f"Count the classes from 0: take {low} from each label.", f"labels = labels - {low}"
    if low < 0 and high < classes:
        return (
            f"If {low} marks items without a label, tell the loss to leave them out.",
            f"loss_fn = torch.nn.CrossEntropyLoss(ignore_index={low})",
        )
    return (
        f"Give the last layer an output for each class: {high + 1} of them.",
        f"torch.nn.Linear(features, {high + 1})  # the last layer",
    )


def _class_shape(given: Given, wanted: tuple[int, ...]) -> Verdict:
    advice, code = "Bring the labels into that shape.", f"labels = labels.reshape({list(wanted)})"
    if given.target == given.prediction:
        advice, code = "Turn rows of one 1 among zeros into class numbers.", "labels = labels.argmax(dim=1)"
    elif given.target == (*wanted, 1):
        advice, code = "Take the last axis of the labels away.", "labels = labels.squeeze(-1).long()"
    return Verdict(
        "error",
        f"No: the labels have the shape {list(given.target)}, but for a prediction of the shape {list(given.prediction)} "
        f"{given.name} takes class numbers of the shape {list(wanted)}.",
        advice,
        code,
    )


def _shares(given: Given, classes: int) -> Verdict | None:
    if classes == 1 and (given.low < 0 or given.high > 1):
        return Verdict(
            "error",
            f"No: the labels go from {range_of(given)}, but the network has one output, which stands for class 0 alone. "
            "Cross entropy takes real numbers for shares of the classes, and is 0 for one class, whatever comes out.",
            f"Give the last layer an output for each class, {int(given.high) + 1}, and the loss whole class numbers.",
            f"torch.nn.Linear(features, {int(given.high) + 1})  # the last layer\nlabels = labels.squeeze(1).long()",
            {"lowest": given.low, "highest": given.high, "outputs": 1.0},
        )
    if given.low >= 0:
        return None
    return Verdict(
        "error",
        f"No: the targets go from {range_of(given)}, but cross entropy takes shares of the classes, from 0 to 1. With a "
        "share below 0 the loss has no lowest value.",
        "Give it class numbers, or shares from 0 to 1.",
        "labels = labels.argmax(dim=1)",
        {"lowest": given.low, "highest": given.high},
    )


def _yes_or_no(given: Given) -> Verdict | None:
    if given.failed and not given.floating:
        return Verdict(
            "error",
            f"No: the labels are {given.dtype} numbers, but {given.name} takes real ones.",
            "Make the labels real numbers.",
            "labels = labels.float()",
        )
    if given.failed and given.target != given.prediction and given.name != LOG_LOSS:
        return _shape_of_prediction(given)
    divided = _divided(given)
    if divided is not None:
        return divided
    excess = max(given.high - 1, -given.low, 0.0)
    beyond = float(((given.values > 1) | (given.values < 0)).double().mean())
    if excess == 0:
        return None
    advice, code = _to_shares(given)
    left_out = given.options.get("reduction") == "none" or given.weighted
    certain = excess > SMOOTH and beyond > _RARE and not left_out
    return Verdict(
        "error" if certain else "info",
        f"{'No' if certain else 'Perhaps not'}: the targets go from {range_of(given)}, but a binary cross entropy takes 0 "
        "to 1. Beyond that the loss has no lowest value: it falls for ever, and what the network answers runs to its ends.",
        advice,
        code,
        {"lowest": given.low, "highest": given.high, "beyond": beyond},
    )


def _divided(given: Given) -> Verdict | None:
    """Targets of two values, 0 and far less than a half: a yes that was scaled with the picture, so that all answers are no."""
    distinct = given.values.unique()
    if len(distinct) != 2 or distinct[0] != 0 or not 0 < given.high <= DIVIDED:
        return None
    return Verdict(
        "error",
        f"No: the targets are 0 and {given.high:.3g}, but a binary cross entropy takes 0 for no and 1 for yes. All of them are "
        "nearly no, and so will be every answer.",
        "Do not scale masks and labels as pictures are scaled.",
        "target = (target > 0).float()",
        {"lowest": given.low, "highest": given.high},
    )


def _to_shares(given: Given) -> tuple[str, str]:
    low, high, distinct = given.low, given.high, given.values.unique()
    if len(distinct) == 2:
        if (low, high) == (-1, 1):
            return "Bring them from -1 and 1 to 0 and 1.", "target = (target + 1) / 2"
        return f"Make {number(high)} a 1, and {number(low)} a 0.", f"target = (target == {number(high)}).float()"
    whole = bool((distinct == distinct.round()).all())
    if whole and low >= 0 and high < MOST_CLASSES:
        return (
            "If these are numbers of classes: give the network an output for each of them, and take the cross entropy.",
            f"torch.nn.Linear(features, {int(high) + 1})  # last layer; loss = F.cross_entropy(output, target.long())",
        )
    for top in (100, 255):
        if low >= 0 and top / 2.6 < high <= top:
            return f"Divide them by {top}.", f"target = target / {top}"
    return (
        "Bring them to 0 to 1, or take the mean squared error.",
        f"target = (target - {low:.6g}) / {high - low:.6g}",
    )


def _shape_of_prediction(given: Given) -> Verdict:
    same = torch.Size(given.target).numel() == torch.Size(given.prediction).numel()
    return Verdict(
        "error",
        f"No: the targets have the shape {list(given.target)}, but {given.name} takes that of the prediction, "
        f"{list(given.prediction)}.",
        "Give both the same shape." if same else "Give the network as many outputs as there are targets for an item.",
        "target = target.reshape(output.shape)" if same else f"torch.nn.Linear(features, {given.target[-1]})",
    )


def _signs(given: Given) -> Verdict | None:
    zeros = float((given.values == 0).double().mean())
    if given.low != 0 or given.high != 1 or zeros < _RARE:
        return None
    return Verdict(
        "error",
        f"No: the targets are 0 and 1, but {given.name} takes -1 and 1. Items with a 0 ({zeros:.0%}) teach nothing.",
        "Bring them from 0 and 1 to -1 and 1.",
        "target = 2 * target - 1",
        {"zeros": zeros},
    )


def _order(given: Given) -> Verdict | None:
    """Of pairs, where 1 stands for the first one being the greater and -1 for the second; a 0 may be meant for neither."""
    found = _signs(given)
    if found is None:
        return None
    message = found.message.replace("No:", "Perhaps not:") + " That is as it should be only if 0 stands for a draw."
    return replace(found, severity="info", message=message)


def _same_or_not(given: Given) -> Verdict | None:
    """Of pairs, where 1 stands for alike and -1 for different; a 0 beside these leaves a pair out."""
    stray = ~torch.isin(given.values, torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    share = float(stray.double().mean())
    if share < _RARE:
        return _signs(given)
    advice, code = (
        "Make 1 of pairs that are alike, and -1 of those that are not.",
        "target = torch.where(same, 1.0, -1.0)",
    )
    return Verdict(
        "error",
        f"No: {share:.0%} of the targets are neither -1 nor 1 (they go from {range_of(given)}), but {given.name} takes 1 for pairs "
        "that are alike, and -1 for those that are not. What else it is given teaches next to nothing.",
        advice,
        code,
        {"lowest": given.low, "highest": given.high, "neither": share},
    )


def _counts(given: Given) -> Verdict | None:
    below = float((given.values < 0).double().mean())
    if below == 0:
        return None
    certain = below > _RARE and given.options.get("reduction") != "none"
    return Verdict(
        "error" if certain else "info",
        f"{'No' if certain else 'Perhaps not'}: {below:.0%} of the targets are below 0 (they go from {range_of(given)}), but "
        "the Poisson loss is for counts. Below 0 it has no lowest value.",
        "Take the mean squared error, or give it counts.",
        "loss_fn = torch.nn.MSELoss()",
        {"lowest": given.low, "highest": given.high, "below_zero": below},
    )


def _shares_of_kl(given: Given) -> Verdict | None:
    if given.options.get("log_target") or given.low >= 0:
        return None
    return Verdict(
        "error",
        f"No: the targets go from {range_of(given)}, but kl_div takes shares, from 0 to 1, or with log_target=True their "
        "logarithms.",
        "Give it shares, or say that they are logarithms.",
        "loss_fn = torch.nn.KLDivLoss(reduction='batchmean', log_target=True)",
        {"lowest": given.low, "highest": given.high},
    )


def _numbers(given: Given) -> Verdict | None:
    reach = REACHES.get(given.ends.partition(":")[0])
    if given.failed:
        return _shape_of_prediction(given)
    if reach is None or given.weighted or given.options.get("reduction") == "none":
        return None
    left = out_of_reach(given.values, reach)
    if left < OUT_OF_REACH[0]:
        return None
    activation, (low, high) = given.ends.partition(":")[0], reach
    return Verdict(
        "error" if left >= OUT_OF_REACH[1] else "warning",
        f"No: the targets go from {range_of(given)}, but the network ends in a {activation}, which gives {number(low)} to "
        f"{number(high)}. {'All' if left >= 1 else f'{left:.0%}'} of their variation is out of its reach, however long it "
        "trains.",
        f"Take the {activation} at the end away, or bring the targets to {number(low)} to {number(high)}.",
        f"target = (target - {given.low:.6g}) / {given.high - given.low:.6g}"
        + (" * 2 - 1" if low < 0 else "")
        + "  # the least and the greatest target",
        {"lowest": given.low, "highest": given.high, "out_of_reach": left},
    )


def out_of_reach(targets: torch.Tensor, reach: tuple[float, float]) -> float:
    """The share of the targets' variance that no prediction within `reach` can explain; may be above 1.

    Example:
        >>> out_of_reach(torch.tensor([-1.0, 1.0]), (0.0, 1.0))
        0.5
    """
    nearest = targets.clamp(*reach)
    variance = float((targets - targets.mean()).square().sum())
    return float((targets - nearest).square().sum()) / variance if variance > 0 else 0.0


_RULES: Mapping[str, Callable[[Given], Verdict | None]] = {
    **dict.fromkeys(CLASS_LOSSES, _classes),
    "binary_cross_entropy": _yes_or_no,
    "binary_cross_entropy_with_logits": _yes_or_no,
    LOG_LOSS: _yes_or_no,
    "soft_margin_loss": _signs,
    "hinge_embedding_loss": _same_or_not,
    "cosine_embedding_loss": _same_or_not,
    "margin_ranking_loss": _order,
    "poisson_nll_loss": _counts,
    "kl_div": _shares_of_kl,
    "mse_loss": _numbers,
    "l1_loss": _numbers,
    "smooth_l1_loss": _numbers,
    "huber_loss": _numbers,
    DIFFERENCE: _numbers,
}
