"""Numbers of classes that are predicted as if they were amounts: class 3 does not lie between 2 and 4."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.baselines import JUDGED, Baselines, baselines
from nn_inspector.checks.items_seen import ItemsSeen
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.race import BADLY
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import preserved_random_state

ENOUGH_STEPS = 100
"""Earlier, a network has no need to be good at anything."""

MOST_CLASSES = 20
FEWEST_ITEMS = 10
"""Of each class."""

NEARER = 0.9
"""The classifier leaves less than this share of the squared error of the best regression, although it does not aim at it: where
the order of the numbers means something, it hardly can."""

RIGHT = 0.75
MORE = 0.25
"""It has so many right answers, and so many more than the network's numbers when they are rounded."""

_HIDDEN = 64
_STEPS = 300
_BATCH = 128


@dataclass(frozen=True, slots=True)
class Apart:
    """A small classifier beside regression, on items that the classifier has not learned from.

    Attributes:
        right, rounded: share of right answers of the classifier, and of the network's numbers when they are rounded.
        classifier, regression, network: R² of the classifier's answers taken as numbers, of the best regression, and of the
            network among them.
    """

    right: float
    rounded: float
    classifier: float
    regression: float
    network: float

    @property
    def proven(self) -> bool:
        """Whether the numbers are names."""
        surer = self.right >= RIGHT and self.right - self.rounded >= MORE
        return surer and 1 - self.classifier < NEARER * (1 - self.regression)


def kinds_as_numbers(subject: Subject, seen: Judged) -> Complaint | None:
    """Classes whose numbers are predicted by a loss of distances, and badly."""
    if seen.judge != "numbers" or subject.seconds <= 0 or subject.run.steps < ENOUGH_STEPS:
        return None
    if seen.targets is None or not seen.targets.class_numbers:
        return None
    try:
        known = baselines(subject)
    except ExperimentError:
        return None
    found = _compared(known)
    if found is None or not found.proven:
        return None
    return Complaint(
        "error" if 1 - found.network > BADLY else "warning",
        f"the targets are numbers of classes, and {seen.name} takes them for amounts: between class 1 and 3 the network has to pass 2. "
        f"Rounded, its numbers are right for {found.rounded:.0%} of some items; a classifier with one hidden layer that has not seen "
        f"them is right for {found.right:.0%}, and nearer to the targets too.",
        "Give the network one output for each class, and use CrossEntropyLoss.",
        "loss = torch.nn.functional.cross_entropy(model(x), y.long())  # one output for each class, y without a second axis",
        basis="experiment",
        evidence={
            "right": found.right,
            "rounded": found.rounded,
            "R2": found.network,
            "R2_of_classes": found.classifier,
        },
    )


def _compared(known: Baselines) -> Apart | None:
    """None where the targets are not a few classes with enough items each."""
    items = known.seen
    target = items.target.reshape(len(items.target), -1)
    if items.task != "numbers" or items.reconstructs or target.shape[1] != 1:
        return None
    values, classes, counts = target[:, 0].unique(return_inverse=True, return_counts=True)
    if not 3 <= len(values) <= MOST_CLASSES or int(counts.min()) < FEWEST_ITEMS:
        return None
    with preserved_random_state(0), torch.enable_grad():
        order = torch.randperm(len(target)).to(target.device)
        judged, rest = order[: round(JUDGED * len(order))], order[round(JUDGED * len(order)) :]
        guess = _classifier(items, classes, rest, len(values))[judged]
    shape = items.target[judged].shape
    given = items.prediction[judged].reshape(-1)
    rounded = (given[:, None] - values.to(given)).abs().argmin(1)
    return Apart(
        right=_share(guess == classes[judged]),
        rounded=_share(rounded == classes[judged]),
        classifier=items.score(values[guess].float().reshape(shape), judged),
        regression=max(known.network.score, *(one.score for one in known.simple)),
        network=known.network.score,
    )


def _classifier(items: ItemsSeen, classes: torch.Tensor, rows: torch.Tensor, width: int) -> torch.Tensor:
    """The classes that a small network answers for all items, [rows], when it has learned from some of them."""
    mean, spread = items.features[rows].mean(0), items.features[rows].std(0)
    features = (items.features - mean) / torch.where(spread > 0, spread, 1.0)
    model = nn.Sequential(nn.Linear(features.shape[1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, width)).to(
        features.device
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    for _ in range(_STEPS):
        chosen = rows[torch.randint(len(rows), (min(_BATCH, len(rows)),), device=rows.device)]
        optimizer.zero_grad()
        F.cross_entropy(model(features[chosen]), classes[chosen]).backward()
        optimizer.step()
    answered: torch.Tensor = model(features).argmax(1)
    return answered


def _share(right: torch.Tensor) -> float:
    return float(right.float().mean())
