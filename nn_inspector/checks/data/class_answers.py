"""Which class a network gives each item, and which one is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.arguments import length_of
from nn_inspector.checks.answers import Answers, answers
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, TrainingCopy, batch_size, isolated

RARE = 1 / 5
"""A class that comes less often than this, for one item of the most frequent class, is rare."""

LOST = 0.3
"""Share of the items of rare classes up to which a network has not found them."""

FOUND = 0.4
"""Share of them that a copy has to find for the network to be at fault."""

GAIN = 0.15
"""So much more has the copy to find of an average class."""

NO_BETTER = 0.05
"""A network that finds no more of an average class than this beyond chance gives the same answer for all."""

_VALIDATION_BATCHES = 64


@dataclass(frozen=True, slots=True)
class ClassAnswers:
    """Class numbers, one for each item.

    Attributes:
        given, right: int64 [items].
    """

    given: torch.Tensor
    right: torch.Tensor

    @property
    def classes(self) -> int:
        """How many classes the items have."""
        return len(self.right.unique())

    def count(self, classes: Sequence[int]) -> int:
        """How many items are of these classes."""
        return int(self._among(classes).sum())

    def found(self, classes: Sequence[int]) -> float:
        """Share of the items of these classes that are given their own class.

        Example:
            >>> ClassAnswers(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])).found([1])
            0.5
        """
        return float((self.given == self.right)[self._among(classes)].float().mean())

    @property
    def average(self) -> float:
        """Share that is found, mean over the classes (balanced accuracy)."""
        return sum(self.found([int(one)]) for one in self.right.unique()) / self.classes

    @property
    def f1(self) -> float:
        """F1 score, mean over the classes: 2 * hits / (items that are of the class + items that are said to be).

        Example:
            >>> round(ClassAnswers(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])).f1, 2)
            0.67
        """
        scores = []
        for one in self.right.unique():
            given, right = self.given == one, self.right == one
            scores.append(2 * int((given & right).sum()) / int(given.sum() + right.sum()))
        return sum(scores) / len(scores)

    def _among(self, classes: Sequence[int]) -> torch.Tensor:
        return torch.isin(self.right, torch.tensor(classes, device=self.right.device))


def right_in_validation(subject: Subject) -> tuple[float, int] | None:
    """The share of right answers of the network, as it is now, in the validation, and how many items that has; None if unknown."""
    if subject.seconds <= 0:
        return None
    try:
        batches = BatchSource(subject.training.val_loader, seconds=5.0).as_loaded(_VALIDATION_BATCHES)
        with isolated(subject.training, start=Start()) as copied:
            seen = class_answers(copied, batches)
    except ExperimentError:
        return None
    items = length_of(getattr(subject.training.val_loader, "dataset", ()))
    return float((seen.given == seen.right).float().mean()), items or len(seen.right)


def class_answers(copied: TrainingCopy, batches: Sequence[Any]) -> ClassAnswers:
    """What a copy answers for batches in evaluation mode, where each item is given one class.

    A single answer yes or no counts as one of two classes.

    Raises:
        ExperimentError: no item of the batches is given a class, or each is given several.
    """
    parts = []
    for batch in batches:
        one = answers(copied, batch)
        if one is None or one.kind == "numbers" or one.right.shape[0] != batch_size(batch) or not _single(one):
            raise ExperimentError(
                "This check is about networks that give each item one class, as far as that is known."
            )
        parts.append(one)
    together = Answers.together(parts)
    given, right = together.given.flatten(), together.right.flatten().long()
    if together.kind == "yes or no":
        scores = bool((given < 0).any()) or bool((given > 1).any())
        given = (given > (0 if scores else 0.5)).long()
    return ClassAnswers(given, right)


def _single(one: Answers) -> bool:
    return one.right.dim() == 1 or one.right.shape[1:] == (1,)
