"""Rules about what a loss takes its prediction for, against what the network gives."""

from __future__ import annotations

import math

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.confusions import CLASS_CODE
from nn_inspector.checks.judging.contest import Loss, contest, lower_loss
from nn_inspector.checks.judging.path import SQUASHING, Operation, unguarded
from nn_inspector.checks.judging.place import Place, place_of, text_of, where_of
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.judging.remedies import entropy_of_answers, entropy_of_classes
from nn_inspector.history import Severity

_BINARY_CODE = "loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)  # on the plain scores"

_SLACK = 1e-3

_LOGARITHMS = frozenset({"log_softmax", "log", "log_sigmoid", "logsumexp", "sub"})
_POSITIVE = frozenset({"softplus", "exp", "relu", "square"})
_LAYERS = frozenset({"linear", "conv", "lstm", "gru", "rnn", "relu", "leaky_relu", "elu", "tanh"})


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
            CLASS_CODE,
            where=where_of(place),
            contest=tried,
        )
    if operation.name not in _LAYERS or seen.high is None or not seen.high > 0:
        return None
    tried = contest(subject, seen, None, entropy_of_classes)
    return Complaint(
        tried.severity(without_proof="error"),
        f"{seen.name} wants logarithms of probabilities, which are never above 0, but gets the plain scores of the network, up to "
        f"{seen.high:.3g}. It falls without limit as the scores grow, and what the other classes get does not matter.",
        advice,
        CLASS_CODE,
        where=where_of(place),
        evidence={"highest_score": seen.high},
        contest=tried,
    )


def no_logarithms_for_divergence(subject: Subject, seen: Judged) -> Complaint | None:
    """kl_div on probabilities or plain scores instead of logarithms of probabilities."""
    if seen.loss != "kl_div" or seen.low is None or seen.high is None or not seen.high > _SLACK:
        return None
    if seen.last in _LOGARITHMS:
        return None
    probabilities = seen.low >= 0 and seen.high <= 1 + _SLACK
    what = "probabilities themselves" if probabilities else "plain scores"
    return Complaint(
        "error",
        f"{seen.name} wants logarithms of probabilities as its first argument, which are never above 0, but gets {what}, from "
        f"{seen.low:.3g} to {seen.high:.3g}. It is then no distance between distributions: it goes below 0, and is least where all "
        "weight lies on one answer.",
        "Let log_softmax(dim=1) come last instead of softmax, or take the logarithm in the loop.",
        "loss = torch.nn.functional.kl_div(scores.log_softmax(1), target, reduction='batchmean')  # the plain scores",
        evidence={"lowest": seen.low, "highest": seen.high},
    )


def rates_for_logarithms(subject: Subject, seen: Judged) -> Complaint | None:
    """A Poisson loss that takes its prediction for the logarithm of a rate, on rates, or for a rate, on plain scores."""
    if seen.loss != "poisson_nll_loss" or not seen.path:
        return None
    logarithm = (seen.options or {}).get("log_input", True)
    if not logarithm and seen.last in _LAYERS - {"relu"} and seen.low is not None and seen.low < 0:
        return Complaint(
            "error",
            f"{seen.name} takes its prediction for a rate, but the network gives plain scores, down to {seen.low:.3g}: a rate below 0 "
            "has no logarithm, and the loss becomes NaN.",
            "Leave log_input=True, as it is by default, and take exp() of the answers afterwards. Or put a softplus at the end.",
            "loss_fn = torch.nn.PoissonNLLLoss()",
            where="loop",
            evidence={"lowest": seen.low},
        )
    made = next(iter(unguarded(seen.path)), None)
    if not logarithm or made is None or made.name not in _POSITIVE or (seen.low is not None and seen.low < 0):
        return None
    place = place_of(subject, seen, made)
    return Complaint(
        "warning",
        f"{seen.name} takes its prediction for the logarithm of the rate, but `{made.name}` {text_of(place)} lets nothing below 0 pass, "
        "as if it were the rate itself. The network learns logarithms then, and cannot say that less than 1 is expected.",
        f"Say that it is the rate, with log_input=False. Or leave out `{made.name}`, and take exp() of the answers afterwards.",
        "loss_fn = torch.nn.PoissonNLLLoss(log_input=False)",
        where=where_of(place),
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
        _BINARY_CODE if binary else CLASS_CODE,
        where=where_of(place),
        evidence={} if floor is None else {"lowest_loss": floor},
        contest=tried,
        trial=lower,
    )


def raw_scores_as_probabilities(subject: Subject, seen: Judged) -> Complaint | None:
    """Scores that were cut to 0 ... 1, or not at all, where probabilities are expected."""
    targets = seen.targets
    if seen.judge not in ("probabilities", "logarithm") or targets is None or not targets.about_classes:
        return None
    guards, bare = len(seen.path) - len(unguarded(seen.path)), unguarded(seen.path)
    if not bare or bare[0].name not in _LAYERS - {"relu"}:
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
        CLASS_CODE if classes else _BINARY_CODE,
        where="loop",
        contest=tried,
    )


def wrong_family(subject: Subject, seen: Judged) -> Complaint | None:
    """Classes that are learned by a loss for something else, and badly."""
    targets = seen.targets
    if targets is None or not (targets.one_hot or (targets.yes_or_no and targets.distinct == 2)):
        return None
    squash = next((one for one in seen.path if one.name in SQUASHING), None)
    if seen.judge != "numbers" and not (seen.judge == "other" and not seen.loss and squash is not None):
        return None
    place = place_of(subject, seen, squash) if squash is not None else None
    if place is not None and place.size == 1:
        return None
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
        CLASS_CODE if targets.one_hot else _BINARY_CODE,
        contest=tried,
    )


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
