"""The numbers that a network is to predict, and the place in the batch where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.answers import answers
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, initial_state, isolated
from nn_inspector.experiments.batch_contents import map_leaves, tensors_of

_BATCHES = 8


@dataclass(frozen=True, slots=True)
class TargetsSeen:
    """What a regression is to predict, over some batches, and what it predicts with its first weights.

    Attributes:
        values: float32 [items, columns].
        predicted: the same, predicted.
        place: which tensor of a batch they are, counted from 0.
    """

    values: torch.Tensor
    predicted: torch.Tensor
    place: int

    @property
    def mean(self) -> torch.Tensor:
        """Mean of each column."""
        return self.values.mean(0)

    @property
    def spread(self) -> torch.Tensor:
        """Standard deviation of each column."""
        return self.values.std(0, correction=0)


def targets_seen(subject: Subject) -> TargetsSeen:
    """The targets, looked at once for all checks of a diagnosis.

    Raises:
        ExperimentError: this is no regression of numbers that stand in the batch, or no experiment is possible.
    """
    seen: TargetsSeen = subject.once("targets seen", lambda: _look(subject))
    return seen


def with_targets(seen: TargetsSeen, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], Any]:
    """Makes a batch of another one, with changed targets."""

    def changed(batch: Any) -> Any:
        target = list(tensors_of(batch))[seen.place]
        return map_leaves(batch, lambda leaf: change(leaf) if leaf is target else leaf)

    return changed


def _look(subject: Subject) -> TargetsSeen:
    if subject.seconds <= 0:
        raise ExperimentError("This check looks at what a copy of the network predicts, and there is no time for that.")
    batches = subject.batches(_BATCHES)
    start = initial_state(subject.training, subject.run) if subject.training.initial is not None else Start()
    values, predicted, places = [], [], set()
    with isolated(subject.training, start=start) as copied:
        for batch in batches:
            found = answers(copied, batch)
            if found is None or found.kind != "numbers":
                raise ExperimentError("This check is about networks that predict numbers with a known loss function.")
            values.append(found.right.cpu())
            predicted.append(found.given.cpu())
            places.add(_place(batch, found.right))
    if len(places) != 1 or None in places:
        raise ExperimentError("The targets do not stand in the batch as they are, so their scale cannot be changed.")
    return TargetsSeen(torch.cat(values), torch.cat(predicted), int(places.pop() or 0))


def _place(batch: Any, right: torch.Tensor) -> int | None:
    """Which tensor of the batch, the first left out, holds the targets; an input that is to be rebuilt is none."""
    right = right.cpu()
    for place, one in enumerate(tensors_of(batch)):
        fits = place and one.is_floating_point() and one.numel() == right.numel()
        if fits and torch.equal(one.detach().float().cpu().reshape(right.shape), right):
            return place
    return None
