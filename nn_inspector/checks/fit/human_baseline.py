"""human_baseline: how well does a person do on the same items?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from nn_inspector.checks.answers import Answers, answers
from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.errors import ArgumentError, ExperimentError, InspectorError, describe
from nn_inspector.experiments import BatchSource, isolated
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="human_baseline",
    stage="fit",
    kind="active",
    question="How well does a person do on the same items?",
    why=(
        "If you cannot tell the classes apart yourself, the inputs may not hold the answer, or the labels are wrong. If you can and "
        "the network cannot, there is something to be found that it does not find."
    ),
    how=(
        "You label some items yourself, without looking at their labels, and pass what you said: labels=[...] for the first items "
        "of the validation data (or for items=[...]), or just your accuracy=0.9. It is compared with the network on the same "
        "items. A warning if you are better by a tenth or more, beyond what chance explains."
    ),
    remedy="Where you are better, look at items that you get right and it does not, and ask what you see in them.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): establish a human baseline, annotate the test data twice",
    ),
)

BETTER = 0.1
"""A person who is better by so much knows something that the network does not."""

ERRORS = 2.0
"""... if that is so many standard errors as well."""

HARD = 0.6
"""A person below this is no better than a guess between two; with more classes it is hard for a person, at least."""

_BATCHES = 16
_HOW = (
    'Label a few items yourself and pass what you said: inspector.check("human_baseline", labels=[3, 1, ...]) for the first items '
    "of the validation data, with items=[...] for others, or accuracy=0.9 alone."
)


def look(
    subject: Subject,
    *,
    accuracy: float | None = None,
    labels: Sequence[Any] | None = None,
    items: Sequence[int] | None = None,
) -> Finding:
    """Compare a person with the network.

    Args:
        subject: training and run.
        accuracy: the share that the person got right, where it is known already.
        labels: the classes that the person said, one for each item.
        items: which items of the validation data (of the training data if there are none) were labelled; the first
            ones if None.
    """
    if accuracy is None and labels is None:
        raise InspectorError(_HOW)
    _check(accuracy, labels, items)
    if subject.seconds <= 0:
        raise ExperimentError("This check asks a copy of the network, and there is no time left for it.")
    loader, name = _loader(subject)
    if labels is None:
        said = _asked(subject, BatchSource(loader).mixed(_BATCHES))
        return _compared(float(accuracy or 0.0), _share_right(said), len(said.right), None, name)
    places = list(items) if items is not None else list(range(len(labels)))
    said = _asked(subject, [_collated(loader, places)])
    if len(said.right) != len(labels):
        got = f"{len(labels)} labels for {len(said.right)} answers"
        raise ArgumentError("labels", expected="one for each item", got=got, advice="Label each item once.")
    own = torch.tensor([int(label) for label in labels])
    right, given = _classes(said.right), _classes(said.given)
    agreement = float((own == given).float().mean())
    return _compared(
        float((own == right).float().mean()), float((given == right).float().mean()), len(own), agreement, name
    )


def _compared(person: float, network: float, count: int, agreement: float | None, name: str) -> Finding:
    evidence = {"person": person, "network": network, "items": float(count)}
    said = f"on {count} items of the {name} data the network gets {network:.0%} right, and you {person:.0%}"
    if agreement is not None:
        evidence["agreement"] = agreement
        said += f"; you say the same for {agreement:.0%}"
    error = math.sqrt(max(person * (1 - person), network * (1 - network), 0.01) / count)
    if person - network >= BETTER and person - network > ERRORS * error:
        remedy = Remedy(
            "Look at the items that you get right and the network does not.",
            'inspector.check("simpler_baseline")\ninspector.check("capacity")',
        )
        return finding(INFO, "warning", f"Better than the network: {said}.", evidence=evidence, remedy=remedy)
    if person < HARD:
        message = (
            f"It is hard for a person as well: {said}. The inputs may not hold the answer, or the labels are wrong."
        )
        return finding(INFO, "info", message, evidence=evidence)
    return finding(INFO, "ok", f"Not much better than the network: {said}.", evidence=evidence)


def _check(accuracy: object, labels: object, items: object) -> None:
    if accuracy is not None and (
        isinstance(accuracy, bool) or not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1
    ):
        raise ArgumentError("accuracy", expected="a share from 0 to 1", got=repr(accuracy), advice="0.9 is 90 %.")
    for name, value in (("labels", labels), ("items", items)):
        whole = isinstance(value, Sequence) and all(isinstance(one, int) for one in value)
        if value is not None and not (whole and len(value)):  # type: ignore[arg-type]  # it is a sequence by now
            raise ArgumentError(
                name, expected="a list of whole numbers", got=describe(value), advice="For example [3, 1]."
            )
    if isinstance(labels, Sequence) and isinstance(items, Sequence) and len(labels) != len(items):
        got = f"{len(items)} items and {len(labels)} labels"
        raise ArgumentError("items", expected="one for each label", got=got, advice="Pass both in the same order.")


def _loader(subject: Subject) -> tuple[Iterable[Any], str]:
    training = subject.training
    if training.val_loader is not None:
        return training.val_loader, "validation"
    if training.train_loader is None:
        raise ExperimentError(
            "There is no loader to take items from. Pass train_loader=... or val_loader=... to watch()."
        )
    return training.train_loader, "training"


def _collated(loader: Iterable[Any], places: Sequence[int]) -> Any:
    """These items as one batch."""
    data: Any = loader.dataset if isinstance(loader, DataLoader) else None
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise ExperimentError("Single items cannot be taken from this loader. Pass accuracy=... instead of labels=....")
    if not all(0 <= place < len(data) for place in places):
        raise ArgumentError(
            "items",
            expected=f"places from 0 to {len(data) - 1}",
            got=repr(max(places)),
            advice="There are no more items.",
        )
    return BatchSource(loader).chosen(places)


def _asked(subject: Subject, batches: Sequence[Any]) -> Answers:
    with isolated(subject.training) as copied:
        found = [one for one in (answers(copied, batch) for batch in batches) if one is not None]
    if not found:
        raise InspectorError("What the network answers, and what would be right, is not known.")
    together = Answers.together(found)
    if together.kind == "numbers":
        raise InspectorError("The network predicts numbers, and an accuracy says nothing about them.")
    return together


def _share_right(said: Answers) -> float:
    return float((_classes(said.given) == _classes(said.right)).float().mean())


def _classes(values: torch.Tensor) -> torch.Tensor:
    """Classes as they are; of scores, yes or no: above a half if all are probabilities, else above 0."""
    if not values.is_floating_point():
        return values.cpu()
    half = 0.5 if bool(((values >= 0) & (values <= 1)).all()) else 0.0
    return (values > half).long().reshape(len(values), -1)[:, 0].cpu()


CHECK = Check(INFO, look)
