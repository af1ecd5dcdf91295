"""What is said of a loss that compares items and misleads, and what helps."""

from __future__ import annotations

from collections.abc import Mapping

from nn_inspector.checks.base import CheckInfo, finding
from nn_inspector.checks.fit.embeddings import Kind
from nn_inspector.checks.fit.likeness import Misled
from nn_inspector.history import Finding, Remedy

_TURNED: Mapping[Kind, str] = {
    "pairs": "the pairs whose label is {pulled:g}, and pushes apart those whose label is {pushed:g}, which are alike",
    "triplets": "the two of each triplet that differ, and pushes apart those that are alike",
    "classes": "items of different classes, and pushes apart those of one class",
}

_EXCHANGE: Mapping[Kind, Remedy] = {
    "triplets": Remedy(
        "Exchange the one that is alike and the one that differs.",
        "loss = loss_fn(anchor, alike, different)  # the first two are pulled together",
    ),
    "classes": Remedy(
        "Exchange what is pulled together and what is pushed apart.",
        "alike = labels[:, None] == labels[None]  # these are pulled together, ~alike is pushed apart",
    ),
}

_PUSH = """\
distance = torch.nn.functional.pairwise_distance(first, second)
push = torch.relu(margin - distance).square()  # for pairs that differ: not zero while they are nearer than the margin"""

_PARTNERS = """\
first, second = (torch.nn.functional.normalize(rows, dim=1) for rows in (first, second))
alike = first @ second.T / 0.1  # each with each of the batch, by a temperature
loss = torch.nn.functional.cross_entropy(alike, torch.arange(len(alike)))  # the other one of its pair is to be found"""


def finding_of(info: CheckInfo, found: Misled) -> Finding:
    """An error: the cause, and how far a copy came with the usual loss."""
    without, treated = (_in_order(left[-1]) for left in (found.trial.without, found.trial.treated))
    steps = (len(found.trial.treated) - 1) * found.trial.every
    proof = (
        f"On a copy, {steps} steps with the usual loss for embeddings told {treated:.0%} of the pairs that are alike from others, "
        f"with yours {without:.0%} (50% by chance)."
    )
    if found.cause == "collapse":
        cause = (
            "the loss is lowest where the network gives the same for all items: nothing pushes apart those that differ"
        )
        remedy = _apart(found)
    else:
        values = found.embedding.values
        pulled, pushed = values[found.pulled], values[1 - found.pulled]
        cause = "the loss pulls together " + _TURNED[found.embedding.kind].format(pulled=pulled, pushed=pushed)
        remedy = _exchange(found)
    return finding(
        info,
        "error",
        f"No: {cause}. {proof}",
        evidence={"left_now": found.now, "left_with_the_usual_loss": found.trial.treated[-1]},
        remedy=remedy,
        where=found.embedding.module or None,
        basis="experiment",
    )


def _apart(found: Misled) -> Remedy:
    if found.embedding.kind != "partners":
        return Remedy("Push apart those that differ while they are near.", _PUSH, found.trial)
    return Remedy(
        "Tell each pair from the other items of the batch, which it has nothing to do with.", _PARTNERS, found.trial
    )


def _exchange(found: Misled) -> Remedy:
    if found.embedding.kind != "pairs":
        known = _EXCHANGE[found.embedding.kind]
        return Remedy(known.text, known.code, found.trial)
    total = sum(found.embedding.values)
    other = f"{total:g} - label" if total else "-label"
    code = f"label = {other}  # the loss pulls together where it is {found.embedding.values[found.pulled]:g}"
    return Remedy("Turn the labels round, or exchange both terms of the loss.", code, found.trial)


def _in_order(left: float) -> float:
    return 1 - left / 2
