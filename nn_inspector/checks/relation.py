"""How surely the answers of the network now go with what is right: noise in the labels leaves a loss high that has learned all there is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from nn_inspector.checks.answers import Answers, answers
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, isolated

SURE = 4.0
"""Standard errors above chance."""

_BATCHES = 8


@dataclass(frozen=True, slots=True)
class Relation:
    """Between the answers and the right ones.

    Attributes:
        strength: of classes, the share of what chance gets wrong that is right, of the items or of each class; of numbers, the correlation of their ranks as a
            share of the largest that there can be with what is right (for a rare yes it is far below 1), mean over the columns.
        errors: how many standard errors that is above chance.
    """

    strength: float
    errors: float

    def holds(self, strength: float) -> bool:
        """Whether it is surely there, and as strong as that."""
        return self.errors > SURE and self.strength >= strength


NONE = Relation(0.0, 0.0)


def relation(subject: Subject) -> Relation:
    """Ask a copy about training items; asked once for all checks of a diagnosis. `NONE` where that cannot be told."""
    found: Relation = subject.once("relation", lambda: _ask(subject))
    return found


def _ask(subject: Subject) -> Relation:
    if subject.seconds <= 0:
        return NONE
    try:
        with isolated(subject.training, start=Start()) as copied:
            found = [one for one in (answers(copied, batch) for batch in subject.batches(_BATCHES)) if one is not None]
    except ExperimentError:
        return NONE
    return of_answers(Answers.together(found)) if found else NONE


def of_answers(said: Answers) -> Relation:
    """The relation of answers to the right ones.

    Example:
        >>> said = Answers("numbers", torch.arange(100.0)[:, None], torch.arange(100.0)[:, None] ** 3)
        >>> round(of_answers(said).strength, 3), round(of_answers(said).errors, 3)
        (1.0, 10.0)
    """
    items = len(said.right)
    if items < 2 or not bool(torch.isfinite(said.given.float()).all()):
        return NONE
    if said.kind == "classes":
        return _of_classes((said.given == said.right).double(), said.right)
    given, right = (_ranks(part.reshape(items, -1)) for part in (said.given, said.right))
    if given.shape != right.shape:
        return NONE
    each, possible = _correlation(given, right), _correlation(_evenly(items, right), right.sort(dim=0).values)
    strength = torch.where(possible > 0, each / possible.clamp(min=1e-12), 0.0)
    return Relation(float(strength.mean()), float(each.mean()) * math.sqrt(items))


def _correlation(given: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Of ranks, by column; 0 where either is the same throughout."""
    sizes = given.norm(dim=0) * right.norm(dim=0)
    return torch.where(sizes > 0, (given * right).sum(0) / sizes.clamp(min=1e-12), 0.0)


def _evenly(items: int, like: torch.Tensor) -> torch.Tensor:
    """Ranks of answers that are all different."""
    ranks = torch.arange(items, dtype=like.dtype) - (items - 1) / 2
    return ranks[:, None].expand_as(like)


def _of_classes(hits: torch.Tensor, right: torch.Tensor) -> Relation:
    """Over the items or, where a rare class is to weigh as much as the others, over the classes: whichever is surer."""
    _, which, counts = right.unique(return_inverse=True, return_counts=True)
    items, classes = len(right), len(counts)
    if classes < 2:
        return NONE
    most, each = float(counts.max()) / items, 1 / classes
    recalls = torch.zeros(classes, dtype=torch.double).index_add_(0, which, hits) / counts
    of_items = _above(float(hits.mean()), most, math.sqrt(most * (1 - most) / items))
    of_classes = _above(float(recalls.mean()), each, math.sqrt(each * (1 - each) * float((1 / counts).sum())) / classes)
    return max(of_items, of_classes, key=lambda found: found.errors)


def _above(rate: float, chance: float, error: float) -> Relation:
    return Relation((rate - chance) / (1 - chance), (rate - chance) / error)


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks of each column around 0, float64; equal numbers have the mean of theirs."""
    columns = []
    for column in values.double().cpu().unbind(1):
        _, which, counts = column.unique(return_inverse=True, return_counts=True)
        ends = counts.cumsum(0).double()
        columns.append((ends - (counts.double() + 1) / 2)[which])
    ranks = torch.stack(columns, 1)
    return ranks - ranks.mean(0)
