"""An augmentation that makes images of one class look like those of another: flipped arrows, turned digits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.class_answers import ClassAnswers, class_answers
from nn_inspector.checks.data.turned import TURNS, Turn
from nn_inspector.checks.race import FEWEST, left_of_validation
from nn_inspector.experiments import BatchSource, Start, initial_state, isolated, tensors_of, train
from nn_inspector.experiments.batch_contents import map_leaves

OFTEN = 0.2
"""So many of the items at least are seen turned when they are drawn again."""

CLEARLY = 0.05
"""An image is seen turned if it is so much more correlated with its turned self than as it is."""

LEFT = 0.08
"""A network that has less to learn of the validation data does not suffer."""

TELLS = 0.8
"""A copy that was taught by images that are not turned has to tell so many of these two classes apart, and"""

TAKEN = 0.7
"""so many of them for the other class once they are turned."""

CONFUSED = 0.15
"""So many of them the network takes for the other class as they are."""

_ITEMS = 64
_BATCHES = 20
_FEWEST = 10
_SMALLEST = 6
_STEPS = 240
_TIME = 0.6


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Two classes that an augmentation makes into each other.

    Attributes:
        how: what it does to images.
        classes: their numbers.
        taken: share of their turned images that are taken for the other class, by a copy that was taught without turns.
        confused: share of their images, as they are, that the network takes for the other class.
    """

    how: str
    classes: tuple[int, int]
    taken: float
    confused: float


def mirrored(subject: Subject) -> Mirrored | None:
    """Draw items of the training data again, and let a copy that learns from the validation data look at turned images.

    Raises:
        ExperimentError: no copy can be trained, or the items have no classes.
    """
    if subject.seconds <= 0 or subject.training.val_loader is None or subject.run.steps < FEWEST:
        return None
    turns = turns_of(subject)
    if not turns or (left_of_validation(subject) or 0.0) < LEFT:
        return None
    source = BatchSource(subject.training.val_loader, seconds=max(subject.seconds / 6, 0.1))
    held = source.mixed(_BATCHES)
    if len(held) < 2:
        held = source.mixed(2, size=max(1, len(next(tensors_of(held[0]))) // 2))
    half = len(held) // 2
    if not half:
        return None
    with isolated(subject.training, start=Start()) as copied:
        now = class_answers(copied, held[half:])
    until = time.monotonic() + _TIME * subject.seconds
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        train(copied, held[:half], steps=_STEPS, deadline=until)
        straight = class_answers(copied, held[half:])
        for how in turns:
            turned = class_answers(copied, [_changed(batch, TURNS[how]) for batch in held[half:]])
            found = _pair(how, now, straight, turned)
            if found is not None:
                return found
    return None


def turns_of(subject: Subject) -> list[str]:
    """What is done at random to the images of the training data, seen as the same items are drawn twice: names of `TURNS`.

    Raises:
        ExperimentError: the items cannot be drawn again.
    """
    source = BatchSource(subject.training.train_loader, seconds=max(subject.seconds / 8, 0.1))
    first, second = (next(tensors_of(batch), None) for batch in source.drawn_again(_ITEMS))
    if first is None or second is None or first.dim() != 4 or first.shape != second.shape:
        return []
    if min(first.shape[-2:]) < _SMALLEST or torch.equal(first, second):
        return []
    as_it_is = likeness(first, second)
    found = {
        how: float((likeness(first, turn(second)) > as_it_is + CLEARLY).float().mean())
        for how, turn in TURNS.items()
        if turn(second).shape == first.shape
    }
    return sorted((how for how, share in found.items() if share >= OFTEN), key=lambda how: -found[how])


def likeness(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Correlation of the pixels of each image with those of its counterpart, [items]."""
    a, b = (images.float().flatten(1) for images in (one, other))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    found: torch.Tensor = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-9)
    return found


def _pair(how: str, now: ClassAnswers, straight: ClassAnswers, turned: ClassAnswers) -> Mirrored | None:
    """The two classes that are taken for each other most often once they are turned, if that is clear."""
    kinds = [int(one) for one in now.right.unique()]
    best: Mirrored | None = None
    for place, one in enumerate(kinds):
        for other in kinds[place + 1 :]:
            if min(straight.count([one]), straight.count([other])) < _FEWEST:
                continue
            if min(straight.found([one]), straight.found([other])) < TELLS:
                continue
            taken, confused = _swapped(turned, one, other, min), _swapped(now, one, other, max)
            if taken >= TAKEN and confused >= CONFUSED and (best is None or taken > best.taken):
                best = Mirrored(how, (one, other), taken, confused)
    return best


def _swapped(seen: ClassAnswers, one: int, other: int, of: Callable[[float, float], float]) -> float:
    """Share of the items of each of two classes that are given the other one."""

    def share(right: int, given: int) -> float:
        return float((seen.given == given)[seen.right == right].float().mean())

    return of(share(one, other), share(other, one))


def _changed(batch: Any, turn: Turn) -> Any:
    first = next(tensors_of(batch))
    return map_leaves(batch, lambda leaf: turn(leaf) if leaf is first else leaf)
