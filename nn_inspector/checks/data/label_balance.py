"""label_balance: does the network find the rare classes, too?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.class_answers import GAIN, LOST, NO_BETTER, RARE, class_answers
from nn_inspector.checks.data.class_labels import class_labels
from nn_inspector.checks.data.class_race import Rare, apart, steps_of
from nn_inspector.checks.data.rare_positions import MOST_CLASSES, rare_positions
from nn_inspector.checks.data.rare_tags import rare_tags
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import BatchSource, Start, batch_size, isolated
from nn_inspector.experiments.remix import draw
from nn_inspector.history import Chart, Evidence, Finding, Remedy, Severity, curve, row_labels

INFO = CheckInfo(
    name="label_balance",
    stage="data",
    kind="active",
    question="Does the network find the rare classes, too?",
    why=(
        "Where one class is far more frequent than another, a network has a small loss and many right answers if it says "
        "the frequent one every time. The rare class is often the one that matters, and accuracy does not show that it is "
        "never found."
    ),
    how=(
        "The classes in your batches are counted. A class is rare if the most frequent one comes five times as often. If your "
        "network finds few of the items of rare classes, a copy is trained on batches that hold all classes alike. Where each "
        "word or pixel has a class, the copy's loss weighs all classes alike, and its F1 score has to be higher as well. Where each "
        "item has several tags that are rare, the copy's loss weighs each yes, and it is a warning only if your loop says yes from "
        "one half on. It is a "
        "warning if that copy finds four in ten of them, and an error if your network does no better than always the same answer."
    ),
    remedy=(
        "Give rare classes a larger weight in the loss, or draw them more often (WeightedRandomSampler). Judge by the share "
        "of each class that is found, not by accuracy."
    ),
    sources=(
        "Buda, Maki and Mazurowski, A systematic study of the class imbalance problem in convolutional neural networks (2018)",
        "Karpathy, A Recipe for Training Neural Networks (2019): become one with the data",
        "PyTorch documentation: torch.utils.data.WeightedRandomSampler",
    ),
    explains=(*NOT_LEARNING, "output_bias", "initial_loss", "batch_balance", "metric_match", "dataset_size"),
)

_FEWEST = 5
_ITEMS = 600

_WEIGHTS = """\
counts = torch.bincount(train_labels)
loss_fn = torch.nn.CrossEntropyLoss(weight=len(train_labels) / (len(counts) * counts))"""


def look(subject: Subject) -> Finding:
    """Count the classes, see which of them are found, and try balanced batches."""
    try:
        labels = class_labels(subject)
    except InspectorError as error:
        return _at_positions(subject, error)
    assert labels.classes is not None, "they are chosen so"
    counts = torch.as_tensor(labels.classes.total)
    shares = counts / counts.sum()
    rare = [int(one) for one in ((counts > 0) & (counts < RARE * counts.max())).nonzero().flatten()]
    present = shares[counts > 0].tolist()
    evidence: Evidence = {"classes": [float(one) for one in counts.nonzero().flatten()], "shares": present}
    spread = f"the most frequent class has {max(present):.1%} of the items, the rarest {min(present):.1%}"
    if not rare:
        return finding(INFO, "ok", f"No class is rare: {spread}.", evidence=evidence, where="train_loader")
    if len(present) > MOST_CLASSES:
        message = f"Some classes are rare, as it has to be with {len(present)} of them: {spread}."
        return finding(INFO, "info", message, evidence=evidence, where="train_loader")
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    return _of_rare(subject, rare, evidence, f"{spread[0].upper()}{spread[1:]}")


def _at_positions(subject: Subject, error: InspectorError) -> Finding:
    """Where no class was seen for each item, there may be one for each of its positions, or it may have several tags."""
    try:
        found = rare_positions(INFO, subject) or rare_tags(INFO, subject)
    except ExperimentError as other:
        raise error from other
    if found is None:
        raise error
    return found


def _of_rare(subject: Subject, rare: Sequence[int], evidence: Evidence, spread: str) -> Finding:
    pool, judges = _apart(subject)
    with isolated(subject.training, start=Start()) as copied:
        now = class_answers(copied, judges)
    if now.count(rare) < _FEWEST:
        raise ExperimentError(
            f"Too few items of rare classes are there to judge by: {now.count(rare)} of {len(now.right)}."
        )
    asked = Rare(rare, now, class_answers, judges, lambda one: one.average, gain_of(len(rare), now.classes))
    found, average = asked.found, now.average
    named = [float(one) for one in rare]
    evidence = {**evidence, "class": named, "rare_found": found, "average_found": average}
    which = f"class {rare[0]}" if len(rare) == 1 else f"the {len(rare)} rare classes"
    message = f"{spread}. Your network finds {found:.0%} of {which}."
    if found > LOST:
        return finding(INFO, "info", message, evidence=evidence, where="train_loader")
    tried = asked.race(subject, pool, balanced=_balanced(subject, pool))
    message += f" A copy that was trained on batches with all classes alike found {tried.found:.0%}"
    if not tried.helped:
        message += f", and one on batches as they are {tried.found_without:.0%}: that does not put the blame on how often they come."
        return finding(INFO, "info", message, evidence=evidence, where="train_loader", basis="experiment")
    constant = average <= 1 / now.classes + NO_BETTER
    severity: Severity = "error" if constant else "warning"
    trial = tried.trial("share not found of an average class")
    return finding(
        INFO,
        severity,
        f"No: {message[0].lower()}{message[1:]}.",
        evidence={**evidence, "rare_found_if_balanced": tried.found},
        remedy=Remedy("Give rare classes a larger weight in the loss, or draw them more often.", _WEIGHTS, trial),
        where="train_loader",
        basis="experiment",
    )


def gain_of(rare: int, classes: int) -> float:
    """How much more of an average class has to be found: less where few of many classes are rare, for only these can gain.

    Example:
        >>> gain_of(1, 2), gain_of(1, 10)
        (0.15, 0.03)
    """
    return GAIN * min(1.0, 2 * rare / classes)


def _apart(subject: Subject) -> tuple[list[Any], list[Any]]:
    """Batches to train on, and others with enough items of rare classes to judge by."""
    loader = BatchSource(subject.training.train_loader, seconds=max(subject.seconds / 4, 0.1))
    return apart(subject, max(1, math.ceil(_ITEMS / batch_size(loader.mixed(1)[0]))))


def _balanced(subject: Subject, pool: list[Any]) -> list[Any]:
    """Batches that hold all classes alike."""
    with isolated(subject.training, start=Start()) as copied:
        right = class_answers(copied, pool).right
    balanced = draw(pool, 1 / right.bincount()[right].double(), steps_of(subject))
    if balanced is None:
        raise ExperimentError("The batches cannot be put together anew: their items differ in shape.")
    return balanced


def chart(result: Finding) -> Chart | None:
    """Share of the items of each class."""
    classes, shares = result.evidence.get("classes"), result.evidence.get("shares")
    if not isinstance(classes, list) or not isinstance(shares, list) or len(shares) > MOST_CLASSES:
        return None
    names = [f"class {int(one)}" for one in classes]
    return Chart("rows", "share of the items", "", {"train_loader": curve(shares, "points")}, row_labels(names))


CHECK = Check(INFO, look, chart)
