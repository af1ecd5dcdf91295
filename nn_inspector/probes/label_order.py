"""How the labels of one pass over a loader are spread over its batches, in a few sums."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from nn_inspector.probes.labels import Labels

_LEVELS = 11
_FURTHEST = 1e4


@dataclass(frozen=True, slots=True)
class Blocks:
    """The items of a pass, cut into blocks of so many batches in a row.

    Attributes:
        batches: how many batches a block has; the last one may have fewer.
        blocks: how many blocks there are.
        inverse: sum of 1 / n over the blocks, n being the items in a block.
        squares: float64 [columns], sum of s^2 / n over the blocks, s being the sum of a column in a block.
    """

    batches: int
    blocks: int
    inverse: float
    squares: np.ndarray


class BlockSums:
    """Sums over blocks of 1, 2, 4, ... batches at once, as a binary counter keeps them.

    Attributes:
        items: how many items were added.
        total: float64 [columns], the sum of each column.
    """

    def __init__(self) -> None:
        self.items = 0
        self.total = np.zeros(0)
        self._levels: list[_Level] = []

    def add(self, sums: np.ndarray, items: int) -> None:
        """Add a batch: the sum of each column over its items. A later batch may have more columns."""
        self.items += items
        self.total = _plus(self.total, sums)
        for number in range(_LEVELS):
            if number == len(self._levels):
                self._levels.append(_Level())
            level = self._levels[number]
            level.squares = _plus(level.squares, sums * sums / items)
            level.inverse += 1 / items
            level.blocks += 1
            if level.waiting is None:
                level.waiting = (sums, items)
                return
            first, level.waiting = level.waiting, None
            sums, items = _plus(first[0], sums), first[1] + items

    def blocks(self) -> list[Blocks]:
        """The blocks of each size of which there are at least two."""
        found = []
        left_sums, left_items = np.zeros(len(self.total)), 0
        for number, level in enumerate(self._levels):
            squares, inverse, blocks = _plus(np.zeros(len(self.total)), level.squares), level.inverse, level.blocks
            if left_items:
                squares, inverse, blocks = squares + left_sums**2 / left_items, inverse + 1 / left_items, blocks + 1
            if blocks >= 2:
                found.append(Blocks(1 << number, blocks, inverse, squares))
            if level.waiting is not None:
                left_sums, left_items = _plus(left_sums, level.waiting[0]), left_items + level.waiting[1]
        return found


@dataclass(slots=True)
class _Level:
    squares: np.ndarray = field(default_factory=lambda: np.zeros(0))
    inverse: float = 0.0
    blocks: int = 0
    waiting: tuple[np.ndarray, int] | None = None


class LabelOrder:
    """What is known of one part of the batches that may be their labels.

    Attributes:
        place, named, width: see `Labels`.
        items: how many items were read.
        classes: counts of class numbers in blocks of batches; None once there was something that is no class.
        numbers: sums of the same as numbers, on a scale of logarithms (see `_compress`).
        powers: float64 [4, columns], sums of the first four powers of these numbers.
        batches, one_class_batches: batches of two or more items, and those of them that hold one class only.
        checksum: over the values in their order.
        constant: the value that all of them have, or None.
    """

    def __init__(self, first: Labels) -> None:
        self.place, self.named, self.width = first.place, first.named, first.width
        self.items = 0
        self.classes: BlockSums | None = BlockSums()
        self.numbers = BlockSums()
        self.powers = np.zeros((4, first.numbers.shape[1]))
        self.batches = 0
        self.one_class_batches = 0
        self.checksum = 0
        self.constant: float | None = float(first.numbers[0, 0])
        self._centre = np.median(first.numbers, axis=0)
        spread = np.median(np.abs(first.numbers - self._centre), axis=0)
        self._scale = np.where(spread > 0, spread, np.where(self._centre != 0, np.abs(self._centre), 1.0))

    def add(self, labels: Labels) -> None:
        """Take the labels of the next batch into account; those of another width cannot be compared and are left out."""
        if labels.numbers.shape[1] != self.powers.shape[1]:
            return
        items = len(labels.numbers)
        self.items += items
        self.checksum = zlib.crc32(np.ascontiguousarray(labels.numbers).tobytes(), self.checksum)
        if self.constant is not None and not np.all(labels.numbers == self.constant):
            self.constant = None
        numbers = self._compress(labels.numbers)
        self.numbers.add(numbers.sum(axis=0), items)
        squares = numbers * numbers
        self.powers += [power.sum(axis=0) for power in (numbers, squares, squares * numbers, squares * squares)]
        if labels.classes is None:
            self.classes = None
        if self.classes is not None and labels.classes is not None:
            counts = np.bincount(labels.classes).astype(np.float64)
            self.classes.add(counts, items)
            self.batches += int(items > 1)
            self.one_class_batches += int(items > 1 and counts.max() == items)

    def _compress(self, numbers: np.ndarray) -> np.ndarray:
        """sign(d) * log(1 + |d|), d being the distance from the first batch's median in units of its spread.

        It keeps the order and lets no outlier decide alone.
        """
        distance = (numbers - self._centre) / self._scale
        compressed: np.ndarray = np.sign(distance) * np.log1p(np.minimum(np.abs(distance), _FURTHEST))
        return compressed


def _plus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sum of two vectors, the shorter one filled up with zeros."""
    if len(a) < len(b):
        a, b = b, a
    total = a.copy()
    total[: len(b)] += b
    return total
