"""What a sampler makes of the classes: how often each is drawn, and how often it is in the data set."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.class_answers import class_answers
from nn_inspector.checks.data.label_choice import likely_labels, seen_target
from nn_inspector.checks.data.shuffling_remedy import by_design
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Arm, BatchSource, Start, initial_state, isolated, try_remedy
from nn_inspector.experiments.remix import draw
from nn_inspector.history import Trial
from nn_inspector.probes import find_labels

RARE = 1 / 5
"""A class that comes less often than this in the data set, for one item of the most frequent class, is rare."""

RARER = 1 / 2
"""A rare class that is drawn less than so often as it is in the data set is drawn too rarely."""

_SURE = 5.0
_ITEMS = 2000
_SIZE = 32
_FEWEST = 200
_JUDGED = 0.3
_STEPS = 120


@dataclass(frozen=True, slots=True)
class DrawnClasses:
    """How often classes come.

    Attributes:
        held: items of each class in a part of the data set that was read at random, float64 [classes].
        drawn: items of each class in the batches of the training, float64 [classes].
        batches: the part of the data set, in batches.
    """

    held: np.ndarray
    drawn: np.ndarray
    batches: list[Any]

    @property
    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Share of each class in the data set, and in what was drawn."""
        return self.held / self.held.sum(), self.drawn / self.drawn.sum()

    @property
    def rarer(self) -> np.ndarray:
        """The rare classes that are drawn far more rarely than they are in the data set, the worst first.

        Empty where the sampler makes the classes more even all in all: it may leave some of many out.
        """
        held, drawn = self.shares
        if _entropy(drawn) >= _entropy(held):
            return np.zeros(0, dtype=np.int64)
        both = (self.held + self.drawn) / (self.held.sum() + self.drawn.sum())
        error = np.sqrt(both * (1 - both) * (1 / self.held.sum() + 1 / self.drawn.sum()))
        rare = (held > 0) & (held < RARE * held.max()) & (drawn < RARER * held) & (held - drawn > _SURE * error)
        found = np.flatnonzero(rare)
        return found[np.argsort(drawn[found] / held[found], kind="stable")]


def drawn_classes(subject: Subject) -> DrawnClasses | None:
    """What a sampler of the user's draws, beside the data set that it draws from; None where there is none or it is not known.

    The data set is read at random by its indices, at most 2,000 items of it.
    """
    loader = subject.training.train_loader
    if subject.seconds <= 0 or not isinstance(loader, DataLoader) or not by_design(subject):
        return None
    if loader.batch_sampler is None or not isinstance(loader.dataset, Sized) or not len(loader.dataset):
        return None
    drawn = _drawn(subject)
    if drawn is None:
        return None
    try:
        size = loader.batch_size or _SIZE
        plain = DataLoader(loader.dataset, batch_size=size, shuffle=True, collate_fn=loader.collate_fn)
        source = BatchSource(plain, seconds=min(3.0, max(subject.seconds / 4, 0.1)))
        batches = source.mixed(math.ceil(_ITEMS / size))
    except ExperimentError:
        return None
    place, seen = drawn
    labels = [one for batch in batches for one in find_labels(batch, wait=True) if one.place == place]
    held = _summed([np.bincount(one.classes) for one in labels if one.classes is not None])
    if min(held.sum(), seen.sum()) < _FEWEST:
        return None
    width = max(len(held), len(seen))
    return DrawnClasses(_wide(held, width), _wide(seen, width), batches)


def found_of(subject: Subject, seen: DrawnClasses, rare: np.ndarray) -> float | None:
    """Share of the items of rare classes that the network finds now; None where it cannot be asked."""
    try:
        with isolated(subject.training, start=Start()) as copied:
            return class_answers(copied, seen.batches).found([int(one) for one in rare])
    except ExperimentError:
        return None


def drawn_alike(subject: Subject, seen: DrawnClasses) -> Trial | None:
    """Train one copy on what the sampler draws and one on all classes alike; both judged on all classes alike."""
    cut = math.ceil(_JUDGED * len(seen.batches))
    judges, pool = seen.batches[:cut], seen.batches[cut:]
    try:
        judge, even = _even(subject, judges, 1), _even(subject, pool, _STEPS) if pool else None
        if judge is None or even is None:
            return None
        as_drawn = BatchSource(subject.training.train_loader, seconds=max(subject.seconds / 4, 0.1)).mixed(_STEPS)
        start = initial_state(subject.training, subject.run)
        arms = Arm(as_drawn, judge[0]), Arm(even, judge[0])
        return try_remedy(subject.training, *arms, steps=_STEPS, start=start, seconds=subject.seconds / 2)
    except ExperimentError:
        return None


def _even(subject: Subject, batches: list[Any], count: int) -> list[Any] | None:
    with isolated(subject.training, start=Start()) as copied:
        right = class_answers(copied, batches).right.cpu()
    return draw(batches, 1 / right.bincount()[right].double(), count)


def _drawn(subject: Subject) -> tuple[str, np.ndarray] | None:
    """Where in a batch the labels are, and how many items of each class were seen in all passes."""
    epochs = subject.run.epochs("train")
    longest = max(epochs, key=lambda epoch: epoch.read, default=None)
    parts = likely_labels(longest.parts.values(), seen_target(subject.run.trace)) if longest is not None else []
    if len(parts) != 1 or parts[0].classes is None:
        return None
    place = parts[0].place
    passes = [epoch.parts[place].classes for epoch in epochs if place in epoch.parts]
    return place, _summed([one.total for one in passes if one is not None])


def _summed(counts: Sequence[np.ndarray]) -> np.ndarray:
    width = max((len(one) for one in counts), default=0)
    return np.sum([_wide(one, width) for one in counts], axis=0) if counts else np.zeros(0)


def _wide(counts: np.ndarray, width: int) -> np.ndarray:
    return np.pad(np.asarray(counts, dtype=np.float64), (0, width - len(counts)))


def _entropy(shares: np.ndarray) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())
