"""Rules about the loss: what it takes its prediction for, against what the network gives."""

from __future__ import annotations

import math
from typing import Any

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.contest import Loss, contest, lower_loss
from nn_inspector.checks.judging.path import SQUASHING, Operation, unguarded, without_logarithm
from nn_inspector.checks.judging.place import Place, place_of, text_of, where_of
from nn_inspector.checks.judging.reading import Judged, sizes_of
from nn_inspector.checks.judging.remedies import entropy_of_answers, entropy_of_classes
from nn_inspector.checks.judging.targets import Targets
from nn_inspector.history import Severity

OUTSIDE = 0.01
"""From this share of the targets on, being no probability is more than rounding."""

_CLASS_CODE = "loss = torch.nn.functional.cross_entropy(model(x), y)  # on the plain scores [items, classes]"
_BINARY_CODE = "loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)  # on the plain scores"

_LOGARITHMS = frozenset({"log_softmax", "log", "log_sigmoid", "logsumexp", "sub"})
_SCORES = frozenset(
    {"linear", "conv", "norm", "relu", "leaky_relu", "mul", "div", "add", "lstm", "gru", "rnn", "dropout"}
)
_LAYERS = frozenset({"linear", "conv", "norm", "leaky_relu", "lstm", "gru", "rnn", "tanh", "mul", "add", "sub", "elu"})


def along_the_batch(subject: Subject, seen: Judged) -> Complaint | None:
    """A softmax over the items of a batch instead of the classes."""
    operation = next(iter(without_logarithm(seen.path)), None)
    targets = seen.targets
    if (
        operation is None
        or operation.name not in ("softmax", "log_softmax")
        or operation.axis is None
        or targets is None
    ):
        return None
    place = place_of(subject, seen, operation)
    shape = place.shape if place is not None else None
    if shape is None or len(shape) < 2 or not _about_classes(targets):
        return None
    classes = targets.classes if targets.class_numbers else 2
    pairs = shape[0] == shape[1]  # of items with items: both axes are right
    batch = operation.axis == 0 and shape[0] == targets.shape[0] > 1 and shape[1] >= classes and not pairs
    wrong = seen.judge in ("scores", "log probabilities") and shape == seen.prediction and len(shape) > 2
    if not batch and not (wrong and operation.axis != 1):
        return None
    along = "the items of the batch" if operation.axis == 0 else f"axis {operation.axis}"
    return Complaint(
        "error",
        f"`{operation.name}` {text_of(place)} works along axis {operation.axis} of a result of shape {list(shape)}: over {along}, "
        "not over the classes, which are axis 1. The items compete with each other, and what the network says of one depends "
        "on which others are in the batch.",
        "Let it work over the classes: dim=1. Or leave it out and use CrossEntropyLoss on the plain scores.",
        _CLASS_CODE,
        where=where_of(place),
        evidence={"axis": operation.axis, "shape": [float(size) for size in shape]},
    )


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
    if not binary or targets.class_numbers or share < OUTSIDE or (targets.low >= -1e-3 and targets.high <= 1 + 1e-3):
        return None
    signs = targets.whole and targets.distinct == 2 and targets.low == -1 and targets.high == 1
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


def no_log_probabilities(subject: Subject, seen: Judged) -> Complaint | None:
    """nll_loss on something else than logarithms of probabilities."""
    if seen.loss != "nll_loss" or not seen.path or seen.last in _LOGARITHMS:
        return None
    operation = seen.path[0]
    place = place_of(subject, seen, operation)
    advice = "Use CrossEntropyLoss on the plain scores. Or let log_softmax(dim=1) come last and keep NLLLoss."
    if operation.name in ("softmax", "sigmoid", "hardsigmoid"):
        tried = contest(subject, seen, place, entropy_of_classes)
        return Complaint(
            tried.severity(without_proof="warning"),
            f"`{operation.name}` {text_of(place)} makes probabilities, but {seen.name} wants their logarithms. It then is only minus "
            "the probability of the right class: never above 0, and with hardly any gradient where the network is wrong.",
            advice,
            _CLASS_CODE,
            where=where_of(place),
            contest=tried,
        )
    if operation.name not in _SCORES or seen.high is None or not seen.high > 0:
        return None
    tried = contest(subject, seen, None, entropy_of_classes)
    return Complaint(
        tried.severity(without_proof="error"),
        f"{seen.name} wants logarithms of probabilities, which are never above 0, but gets the plain scores of the network, up to "
        f"{seen.high:.3g}. It falls without limit as the scores grow, and what the other classes get does not matter.",
        advice,
        _CLASS_CODE,
        where=where_of(place),
        evidence={"highest_score": seen.high},
        contest=tried,
    )


def squashed_twice(subject: Subject, seen: Judged) -> Complaint | None:
    """A softmax or sigmoid before a loss that makes one itself."""
    path, by_itself = seen.path, seen.judge in ("scores", "logits")
    if path and path[0].name == "log_softmax" and not by_itself:
        path, by_itself = path[1:], True
    if not by_itself or not path or path[0].name not in SQUASHING or seen.targets is None:
        return None
    if seen.judge == "scores" and len(seen.prediction) > 1 and seen.prediction[1] == 1:
        return None
    operation = path[0]
    place = place_of(subject, seen, operation)
    binary = seen.judge == "logits"
    asked: Loss = entropy_of_answers if binary else entropy_of_classes
    tried = contest(subject, seen, place, asked)
    lower = lower_loss(subject, seen, place, asked) if tried.well else None
    floor = _floor(seen, operation, place)
    own = "sigmoid" if binary else "softmax"
    limit = f" However sure the network is, this loss cannot fall below {floor:.3g}." if floor is not None else ""
    return Complaint(
        "warning" if lower is not None else tried.severity(without_proof="warning"),
        f"`{operation.name}` {text_of(place)} presses the scores into {_range(operation)}, and {seen.name} makes its own {own} of "
        f"them: squashed twice.{limit} The gradient is small, and learning slow.",
        f"Leave out `{operation.name}`: this loss wants the plain scores. For probabilities, apply it after the training.",
        _BINARY_CODE if binary else _CLASS_CODE,
        where=where_of(place),
        evidence={} if floor is None else {"lowest_loss": floor},
        contest=tried,
        trial=lower,
    )


def raw_scores_as_probabilities(subject: Subject, seen: Judged) -> Complaint | None:
    """Scores that were cut to 0 ... 1, or not at all, where probabilities are expected."""
    targets = seen.targets
    if seen.judge not in ("probabilities", "logarithm") or targets is None or not _about_classes(targets):
        return None
    guards, bare = len(seen.path) - len(unguarded(seen.path)), unguarded(seen.path)
    if not bare or bare[0].name not in _LAYERS:
        return None
    cut = any(one.name == "clamp" for one in seen.path[:guards])
    classes = targets.one_hot or targets.rows_sum_to_one or targets.class_numbers
    asked: Loss = entropy_of_classes if classes else entropy_of_answers
    tried = contest(subject, seen, None, asked)
    what = (
        "The scores are cut with clamp() to what a logarithm can take: outside of that range they get no gradient at all."
        if cut
        else "A score below 0 has no logarithm: the loss becomes NaN."
    )
    return Complaint(
        tried.severity(without_proof="warning" if cut else "error"),
        f"{seen.name} takes its prediction for probabilities, but the network gives plain scores of `{bare[0].name}`, without a "
        f"{'softmax' if classes else 'sigmoid'}. {what}",
        f"Use {'CrossEntropyLoss' if classes else 'BCEWithLogitsLoss'} on the plain scores.",
        _CLASS_CODE if classes else _BINARY_CODE,
        where="loop",
        contest=tried,
    )


def wrong_family(subject: Subject, seen: Judged) -> Complaint | None:
    """Classes that are learned by a loss for something else, and badly."""
    targets = seen.targets
    if targets is None or not (targets.one_hot or (targets.yes_or_no and targets.distinct == 2)):
        return None
    squash = next((one for one in seen.path if one.name in SQUASHING), None)
    compared = seen.judge == "numbers" and (seen.loss or any(_compares(fact) for fact in seen.functions))
    if not compared and not (seen.judge == "other" and not seen.loss and squash is not None):
        return None
    place = place_of(subject, seen, squash) if squash is not None else None
    asked: Loss = entropy_of_classes if targets.one_hot else entropy_of_answers
    tried = contest(subject, seen, place, asked)
    found: Severity = tried.severity(without_proof="info")
    if found == "info":
        return None
    name = "CrossEntropyLoss" if targets.one_hot else "BCEWithLogitsLoss"
    return Complaint(
        found,
        f"The targets are {'classes' if targets.one_hot else 'answers yes or no'}, and {seen.name} does not compare them as such: "
        "its gradient is small where the network is wrong and sure.",
        f"Use {name} on the plain scores, without softmax or sigmoid.",
        _CLASS_CODE if targets.one_hot else _BINARY_CODE,
        contest=tried,
    )


RULES = (
    along_the_batch,
    one_label_for_all,
    targets_are_no_probabilities,
    no_log_probabilities,
    squashed_twice,
    raw_scores_as_probabilities,
    wrong_family,
)
"""In the order in which they are asked; the first complaint counts."""


def _about_classes(targets: Targets) -> bool:
    return targets.class_numbers or targets.yes_or_no or targets.rows_sum_to_one


def _binary_by_hand(seen: Judged) -> bool:
    """Whether a loss by hand has the form t log p + (1 - t) log(1 - p)."""
    turned = [fact for fact in seen.functions if fact["name"] == "rsub"]
    return seen.judge == "logarithm" and any(fact["of"] == ["target"] for fact in turned)


def _chooses(fact: Any) -> bool:
    """Whether labels are used to choose among scores, or made to rows."""
    if fact["name"] in ("one_hot", "eq", "scatter", "scatter_"):
        return True
    both = "+".join(fact["of"]).split("+")
    return fact["name"] in ("gather", "getitem", "take_along_dim", "index_select") and {"prediction", "target"} <= set(
        both
    )


def _compares(fact: Any) -> bool:
    """Whether a prediction and a target are taken from each other."""
    return fact["name"] in ("sub", "rsub") and sorted(fact["of"]) == ["prediction", "target"]


def _spread_label(fact: Any) -> int | None:
    """Of a product of one label and several scores for each item, how many scores."""
    if fact["name"] != "mul" or len(fact["shapes"]) != 2 or "target" not in fact["of"]:
        return None
    place = fact["of"].index("target")
    label, scores = sizes_of(fact["shapes"][place]), sizes_of(fact["shapes"][1 - place])
    fits = len(scores) == 2 and scores[1] > 1 and label == [scores[0], 1] and "prediction" in fact["of"][1 - place]
    return scores[1] if fits else None


def _range(operation: Operation) -> str:
    return "-1 ... 1" if operation.name == "tanh" else "0 ... 1"


def _floor(seen: Judged, operation: Operation, place: Place | None) -> float | None:
    """The least that a loss with mean reduction can be, of scores in a short range."""
    if seen.options is not None and seen.options.get("reduction", "mean") != "mean":
        return None
    way = 2.0 if operation.name == "tanh" else 1.0
    if seen.judge == "logits":
        return math.log1p(math.exp(-1.0)) if operation.name == "tanh" else None
    classes = seen.prediction[1] if len(seen.prediction) > 1 else place.size if place is not None else None
    soft = seen.targets is None or not (seen.targets.one_hot or seen.targets.whole)
    return None if classes is None or soft else math.log1p((classes - 1) * math.exp(-way))
