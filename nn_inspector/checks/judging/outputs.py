"""Rules about the last layer: what it can give against what is asked of it."""

from __future__ import annotations

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.contest import Loss, contest
from nn_inspector.checks.judging.path import unguarded, without_logarithm
from nn_inspector.checks.judging.place import place_of, text_of, where_of
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.judging.remedies import entropy_of_answers, entropy_of_classes
from nn_inspector.checks.race import answers_well
from nn_inspector.history import Severity


def softmax_of_one(subject: Subject, seen: Judged) -> Complaint | None:
    """A softmax over an axis of size 1: it gives 1 for every item, and no gradient."""
    operation = next(iter(without_logarithm(seen.path)), None)
    if operation is None or operation.name not in ("softmax", "log_softmax"):
        return None
    place = place_of(subject, seen, operation)
    if place is None or place.size != 1:
        return None
    constant = "0" if operation.name == "log_softmax" else "1"
    return Complaint(
        "error",
        f"`{operation.name}` {place.text} works along axis {operation.axis}, which has a single element: its result is "
        f"always {constant}, whatever goes in, and no gradient comes back through it. Nothing can be learned.",
        *_instead_of_one_unit(seen),
        where=where_of(place),
    )


def entropy_of_one_column(subject: Subject, seen: Judged) -> Complaint | None:
    """cross_entropy on a single score: always 0."""
    if seen.judge != "scores" or len(seen.prediction) < 2 or seen.prediction[1] != 1:
        return None
    return Complaint(
        "error",
        f"{seen.name} gets scores of shape {list(seen.prediction)}: one class. Its softmax over one class is always 1, so the "
        "loss does not depend on the network, and nothing can be learned.",
        *_instead_of_one_unit(seen),
    )


def classes_on_one_output(subject: Subject, seen: Judged) -> Complaint | None:
    """One yes-or-no output for more than two classes."""
    targets = seen.targets
    binary = seen.judge in ("logits", "probabilities") or (seen.judge == "logarithm" and _has_sigmoid(seen))
    if targets is None or not binary or not targets.class_numbers:
        return None
    return Complaint(
        "error",
        f"The network has one output, and its loss knows only the answers 0 and 1, but the targets are class numbers from "
        f"{targets.low:.0f} to {targets.high:.0f}. One output cannot tell {targets.classes} classes apart, and a target above 1 "
        "lets this loss fall without limit.",
        f"Give the last layer {targets.classes} outputs, one for each class, and use CrossEntropyLoss.",
        f"model.out = torch.nn.Linear(features, {targets.classes})  # the last layer, without sigmoid\n"
        "loss = torch.nn.functional.cross_entropy(model(x), y.long())",
        evidence={"classes": targets.classes, "outputs": 1},
    )


def relu_of_scores(subject: Subject, seen: Judged) -> Complaint | None:
    """A ReLU behind the last layer where scores or probabilities are expected."""
    path = seen.path
    if seen.judge in ("probabilities", "logarithm"):
        path = tuple(one for one in unguarded(path) if one.name != "div")
    elif path and path[0].name in ("log_softmax", "softmax", "sigmoid"):
        path = path[1:]
    elif seen.judge not in ("scores", "logits"):
        return None
    if not path or path[0].name != "relu" or seen.targets is None:
        return None
    place = place_of(subject, seen, path[0])
    asked, advice, code = _fitting_head(seen)
    tried = contest(subject, seen, place, asked)
    silent = seen.low == seen.high == 0 and not tried.well
    probability = seen.judge in ("probabilities", "logarithm")
    suspicious = tried.left is not None and not (tried.well and not probability)
    without_proof: Severity = "error" if silent else "warning" if suspicious else "info"
    what = "a probability, which is 1 at most" if probability else "a score, which has to be free to go below 0"
    dead = " Here it is 0 for all items of the first batch." if silent else ""
    return Complaint(
        tried.severity(without_proof=without_proof),
        f"`relu` {text_of(place)} comes behind the last layer, and {seen.name} takes its result for {what}. All scores below 0 become "
        f"0: there the network gets no gradient, and what it means to rule out it cannot say.{dead}",
        advice,
        code,
        where=where_of(place),
        contest=tried,
    )


def sigmoids_for_one_of_many(subject: Subject, seen: Judged) -> Complaint | None:
    """Independent yes-or-no outputs where one of several classes is right."""
    targets = seen.targets
    if targets is None or seen.last not in ("sigmoid", "hardsigmoid") or seen.judge not in ("probabilities", "numbers"):
        return None
    if targets.values is None or targets.values.dim() != 2 or not targets.rows_sum_to_one:
        return None
    place = place_of(subject, seen, seen.path[0])
    tried = contest(subject, seen, place, entropy_of_classes)
    columns = targets.values.shape[1]
    shares = not targets.one_hot
    return Complaint(
        tried.severity(without_proof="info"),
        f"The {columns} outputs go each through its own `sigmoid` {text_of(place)}, but "
        + (
            "the targets are shares that sum to 1. "
            if shares
            else "exactly one of the classes is right for each item. "
        )
        + "Nothing makes the outputs agree, and the loss pulls at each of them alone.",
        "Leave out the sigmoid and use CrossEntropyLoss: it makes one decision of all outputs together.",
        "loss = torch.nn.functional.cross_entropy(model(x), y)  # the model without sigmoid; y as rows or class numbers",
        where=where_of(place),
        contest=tried,
    )


SEVERAL = 0.1
"""Share of the items with several right answers from which on one of several classes is not what is asked."""

FEW_ANSWERS = 32
"""With more of them a softmax over all may be meant as a ranking, as of what a customer buys."""


def one_of_many_for_several(subject: Subject, seen: Judged) -> Complaint | None:
    """One decision between all outputs, where several of them may be right, or none."""
    targets = seen.targets
    if targets is None or seen.judge != "scores" or targets.values is None or not targets.yes_or_no:
        return None
    values = targets.values
    if values.dim() != 2 or not values.is_floating_point() or not 2 <= values.shape[1] <= FEW_ANSWERS:
        return None
    right = values.sum(1)
    none, several = float((right == 0).double().mean()), float((right > 1).double().mean())
    if several < SEVERAL:
        return None
    nothing = f" Of items without any, {none:.0%} of all, nothing is learned." if none else ""
    return Complaint(
        "info" if answers_well(subject) else "error",
        f"{several:.0%} of the items have several right answers, and {seen.name} takes one of several classes to be right: its softmax "
        f"shares 100% out among the outputs, so that two of them can never both be near 100%.{nothing}",
        "Use BCEWithLogitsLoss on the plain scores: each output is a question of its own, and above 0 means yes.",
        "loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y.float())",
        evidence={"several": several, "none": none},
    )


def _has_sigmoid(seen: Judged) -> bool:
    return any(one.name == "sigmoid" for one in unguarded(seen.path)[:1])


def _fitting_head(seen: Judged) -> tuple[Loss, str, str]:
    targets = seen.targets
    assert targets is not None, "asked before"
    binary = targets.yes_or_no and not targets.one_hot and seen.judge not in ("scores", "log probabilities")
    if binary:
        return (
            entropy_of_answers,
            "Leave out the ReLU, and let BCEWithLogitsLoss make a probability of the score.",
            "loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)  # the model without ReLU at its end",
        )
    return (
        entropy_of_classes,
        "Leave out the ReLU behind the last layer: CrossEntropyLoss wants its plain scores.",
        "loss = torch.nn.functional.cross_entropy(model(x), y)  # the model without ReLU at its end",
    )


def _instead_of_one_unit(seen: Judged) -> tuple[str, str]:
    targets = seen.targets
    if targets is not None and (targets.class_numbers or targets.one_hot or targets.rows_sum_to_one):
        classes = targets.classes if targets.class_numbers else targets.shape[-1]
        return (
            f"Give the last layer {classes} outputs, one for each class, and use CrossEntropyLoss.",
            (
                f"model.out = torch.nn.Linear(features, {classes})  # the last layer, without softmax\n"
                "loss = torch.nn.functional.cross_entropy(model(x), y)"
            ),
        )
    if targets is not None and targets.yes_or_no:
        return (
            "Leave out the softmax: one output with BCEWithLogitsLoss answers yes or no.",
            "loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)  # the model without softmax",
        )
    return (
        "Leave out the softmax: to predict a number, the last layer's output is used as it is.",
        "model = torch.nn.Sequential(*list(model.children())[:-1])  # where softmax is the last module",
    )
