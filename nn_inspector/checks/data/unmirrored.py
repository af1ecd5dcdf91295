"""Images that are flipped at random while the places or angles that are asked of them stay as they were."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.answers import answers
from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.mirrored import CLEARLY, likeness, turns_of
from nn_inspector.checks.data.turned import TURNS
from nn_inspector.checks.race import BADLY, FEWEST, known_left
from nn_inspector.experiments import BatchSource, initial_state, isolated, tensors_of, train
from nn_inspector.experiments.batch_contents import map_leaves
from nn_inspector.probes import label_parts

UNTOLD = 0.25
"""A copy explains no more than this of a target whose side is not known, and"""

TOLD = 0.5
"""it explains so much, and"""

MORE = 0.4
"""so much more, of how far that target is from the middle."""

SAME = 0.9
"""So many of the flipped images have the same targets as before."""

_FLIPS = {"flipped left to right": -1, "flipped upside down": -2}
_ITEMS = 64
_FEWEST = 8
_MOST = 512
_STEPS = 240
_JUDGED = 256
_TIME = 0.3


@dataclass(frozen=True, slots=True)
class Unmirrored:
    """Targets that would have to be flipped with their image.

    Attributes:
        how: what is done to images at random.
        middle: of the targets.
        columns: which targets, counted from 0.
        side, distance: share of the variance that a copy explains of them, and of how far they are from the middle; mean.
        steps: how many steps a copy was trained.
    """

    how: str
    middle: float
    columns: tuple[int, ...]
    side: float
    distance: float
    steps: int


def unmirrored(subject: Subject) -> Unmirrored | None:
    """Draw items of the training data again, and let copies learn their targets, and how far these are from the middle.

    An image and its mirror image that have the same target tell how far from the middle a place is, and not on which side.
    Of what does not depend on the side (a size, a count, an age) they tell all.

    Raises:
        ExperimentError: no copy can be trained, or the items cannot be drawn again.
    """
    if subject.seconds <= 0 or subject.run.steps < FEWEST or (known_left(subject) or 0.0) <= BADLY:
        return None
    place, how = _kept_in_flips(subject)
    if how is None:
        return None
    data = _Data.of(subject, place, how)
    steps = min(max(subject.run.steps, FEWEST), _STEPS)
    plain = _explained(subject, data, steps)
    folded = _explained(subject, data.folded(), steps) if plain is not None and bool((plain <= UNTOLD).any()) else None
    if plain is None or folded is None or folded.shape != plain.shape:
        return None
    found = (plain <= UNTOLD) & (folded >= TOLD) & (folded - plain >= MORE)
    columns = tuple(int(one) for one in found.nonzero())
    side, distance = (float(one[found].mean()) for one in (plain, folded))
    return Unmirrored(how, data.middle, columns, side, distance, steps) if columns else None


@dataclass(frozen=True, slots=True)
class _Data:
    """Batches to train on, and one to judge by, for which the same items were drawn again.

    Attributes:
        batches, judge: of images and targets.
        place: of the targets among the tensors of a batch.
        middle: of the targets.
        ends: least and greatest of them.
    """

    batches: Sequence[Any]
    judge: Any
    place: int
    middle: float
    ends: tuple[float, float]

    @classmethod
    def of(cls, subject: Subject, place: int, how: str) -> _Data:
        loader, seconds = subject.training.train_loader, max(subject.seconds / 8, 0.1)
        batches = BatchSource(loader, seconds=seconds).mixed(_STEPS)
        judge = BatchSource(loader, seed=1, seconds=seconds).mixed(1, size=_JUDGED)[0]
        targets = torch.cat([_target(batch, place).flatten() for batch in batches]).float()
        low, high = float(targets.min()), float(targets.max())
        side = next(tensors_of(batches[0])).shape[_FLIPS[how]]
        return cls(batches, judge, place, middle_of(low, high, side, float(targets.mean())), (low, high))

    def folded(self) -> _Data:
        """With how far each target is from the middle in its place, spread over the same range."""
        batches = [self._folded(batch) for batch in self.batches]
        return _Data(batches, self._folded(self.judge), self.place, self.middle, self.ends)

    def _folded(self, batch: Any) -> Any:
        target, (low, high) = _target(batch, self.place), self.ends
        furthest = max(high - self.middle, self.middle - low, 1e-12)
        far = low + (high - low) * (target - self.middle).abs() / furthest
        return map_leaves(batch, lambda leaf: far if leaf is target else leaf)


def middle_of(low: float, high: float, side: int, mean: float) -> float:
    """The middle of the image, as targets between `low` and `high` count it: around 0, as shares, or in pixels of `side`.

    Example:
        >>> middle_of(-0.8, 0.9, 32, 0.1), middle_of(0.1, 0.9, 32, 0.4), middle_of(2.0, 30.0, 32, 14.0), middle_of(50.0, 90.0, 32, 60.0)
        (0.0, 0.5, 16.0, 60.0)
    """
    if low < 0:
        return 0.0
    if high <= 1:
        return 0.5
    return side / 2 if high <= side else mean


def _kept_in_flips(subject: Subject) -> tuple[int, str | None]:
    """The place of the targets, and how images are flipped at random while these stay as they were; None if they are not."""
    place = _place_of_target(subject.batches()[0])
    if place is None:
        return 0, None
    return place, next((how for how in turns_of(subject) if how in _FLIPS and _keeps_target(subject, how, place)), None)


def _target(batch: Any, place: int) -> torch.Tensor:
    return list(tensors_of(batch))[place]


def _place_of_target(batch: Any) -> int | None:
    """Where among the tensors of a batch of images the only one is that holds numbers to be predicted, some for each item."""
    parts = list(tensors_of(batch))
    if not parts or parts[0].dim() != 4 or not parts[0].is_floating_point():
        return None
    labels = [part for _, part in label_parts(batch) if isinstance(part, torch.Tensor) and part is not parts[0]]
    numbers = [
        part for part in labels if part.is_floating_point() and 1 <= part.dim() <= 3 and len(part) == len(parts[0])
    ]
    if len(numbers) != 1 or numbers[0].numel() > _MOST * len(parts[0]):
        return None
    return next((place for place, part in enumerate(parts) if part is numbers[0]), None)


def _keeps_target(subject: Subject, how: str, place: int) -> bool:
    """Whether images that were flipped from one draw to the next have the same targets in both."""
    source = BatchSource(subject.training.train_loader, seconds=max(subject.seconds / 8, 0.1))
    first, second = source.drawn_again(_ITEMS)
    images, others = next(tensors_of(first)), next(tensors_of(second))
    flipped = likeness(images, TURNS[how](others)) > likeness(images, others) + CLEARLY
    before, after = _target(first, place), _target(second, place)
    if before.shape != after.shape or int(flipped.sum()) < _FEWEST:
        return False
    same = (before == after).flatten(1).all(1) if before.dim() > 1 else before == after
    return float(same[flipped].float().mean()) >= SAME


def _explained(subject: Subject, data: _Data, steps: int) -> torch.Tensor | None:
    """Share of the variance of each target that a copy explains after a short training, [columns]; None for other targets."""
    until = time.monotonic() + _TIME * subject.seconds
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        train(copied, data.batches, steps=steps, deadline=until)
        found = answers(copied, data.judge)
    if found is None or found.kind != "numbers" or len(found.right) != len(_target(data.judge, data.place)):
        return None
    given, right = found.given.double(), found.right.double()
    spread = (right - right.mean(0)).square().sum(0)
    left: torch.Tensor = (given - right).square().sum(0) / spread.clamp(min=1e-12)
    return torch.where(spread > 0, 1 - left, torch.ones_like(left)).cpu()
