"""Whether the labels differ between the batches of a pass more than in random order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nn_inspector.probes import BlockSums, LabelOrder

FEW_ITEMS = 20
"""With fewer items no order can be told from chance."""

BEYOND_CHANCE = 5.0
"""Standard deviations above random order from which a difference counts as real: less than once in a million random orders."""


FEWEST_IN_BLOCK = 8
FEWEST_THAT_COUNT = 5
"""In smaller blocks, or where fewer items make up the variation (a rare class, outliers), two that happen to come together
look like an order."""

BLOCK = 8
"""So many batches in a row should together hold a fair sample, even where each of them is put together on purpose."""


@dataclass(frozen=True, slots=True)
class Evenness:
    """How unevenly the labels are spread over the batches.

    Attributes:
        deviations: largest distance from random order, in its standard deviations.
        uneven: 0 for what random order gives, 1 where the batch tells the label (or the label the batch) for certain:
            Cramér's V squared for classes, the share of the variance that lies between batches for numbers.
        purity: the same, but 1 only where the batch tells the label: a class of few items is in few batches, however they
            are put together.
        lasting: as `uneven`, between blocks of `BLOCK` batches or more: what one batch lacks and the next ones do not bring.
        batches: how many batches in a row differ most from the others.
        one_class: share of the batches that hold one class only; None if the labels are no classes.
    """

    deviations: float
    uneven: float
    purity: float
    lasting: float
    batches: int
    one_class: float | None

    @property
    def real(self) -> bool:
        """Whether chance is ruled out."""
        return self.deviations > BEYOND_CHANCE


def evenness(order: LabelOrder) -> Evenness | None:
    """Compare batches, and blocks of batches in a row, in what labels they hold.

    Where an item stands within its batch does not matter: the batch makes one step. Under random order of the same
    items, the statistic X^2 = N * (sum over blocks b and classes k of c_bk^2 / (n_b * N_k) - 1) has known mean and
    variance; for numbers it is N * (variance between blocks) / (variance).

    Returns:
        None if there are too few items, one batch only, or labels that are all the same or all different classes.
    """
    if order.items < FEW_ITEMS:
        return None
    classes = order.classes
    if classes is not None and 2 <= np.count_nonzero(classes.total) <= order.items / 2:
        levels = _class_levels(classes)
        one_class = order.one_class_batches / order.batches if order.batches else None
    else:
        levels = _number_levels(order)
        one_class = None
    if not levels:
        return None
    real = [level for level in levels if level.deviations > BEYOND_CHANCE]
    worst = max(real or levels, key=lambda level: level.uneven)
    purity = max((level.purity for level in real), default=0.0)
    deviations = max(level.deviations for level in levels)
    lasting = max((level.uneven for level in real if level.batches >= BLOCK), default=0.0)
    return Evenness(deviations, max(worst.uneven, 0.0), purity, lasting, worst.batches, one_class)


@dataclass(frozen=True, slots=True)
class _Level:
    batches: int
    deviations: float
    uneven: float
    purity: float


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the comparison, as a projection matrix: its rank and the sum of its squared diagonal elements."""

    rank: float
    diagonal: float


def _class_levels(classes: BlockSums) -> list[_Level]:
    counts = classes.total[classes.total > 0]
    items, kinds = classes.items, len(counts)
    side = _Side(kinds - 1, float((1 / counts).sum()) - (2 * kinds - 1) / items)
    found = []
    for cut in classes.blocks():
        statistic = items * float((cut.squares[classes.total > 0] / counts).sum()) - items
        found.append(_level(statistic, items, cut.batches, _blocks_side(cut.blocks, cut.inverse, items), side))
    return [level for level in found if level is not None]


def _number_levels(order: LabelOrder) -> list[_Level]:
    """Of several columns, the one in which the blocks differ most."""
    items = order.items
    mean, second, third, fourth = order.powers / items
    variance = second - mean**2
    moment = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
    found = []
    for cut in order.numbers.blocks():
        blocks = _blocks_side(cut.blocks, cut.inverse, items)
        for column in np.flatnonzero(variance > 1e-12):
            side = _Side(1, float(moment[column] / variance[column] ** 2) / items)
            between = float(cut.squares[column] - items * mean[column] ** 2)
            found.append(_level(between / float(variance[column]), items, cut.batches, blocks, side))
    return [level for level in found if level is not None]


def _blocks_side(blocks: int, inverse: float, items: int) -> _Side:
    return _Side(blocks - 1, inverse - (2 * blocks - 1) / items)


def _level(statistic: float, items: int, batches: int, a: _Side, b: _Side) -> _Level | None:
    """From the statistic to its deviation from random order.

    Mean and variance over all orders: Kazi-Aoual and others (1995). The upper tail is taken for that of a chi-square
    distribution with these two, and brought to the normal distribution by Wilson's and Hilferty's cube root.
    """
    n = float(items)
    if items < FEWEST_IN_BLOCK * (a.rank + 1) or b.rank**2 < FEWEST_THAT_COUNT * b.diagonal:
        return None
    mean = n * a.rank * b.rank / (n - 1)
    spread = 2 * _spread(n, a) * _spread(n, b) / ((n - 1) ** 2 * (n + 1) * (n - 2))
    variance = n * n * (spread + _skew(n, a) * _skew(n, b) / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3)))
    largest = n * min(a.rank, b.rank) - mean
    if not (mean > 0 and variance > 1e-6 * mean**2 and largest > 1e-6 * mean):
        return None
    spread_of_root = variance / (9 * mean**2)
    root = math.copysign(abs(statistic / mean) ** (1 / 3), statistic)
    deviations = (root - (1 - spread_of_root)) / math.sqrt(spread_of_root)
    return _Level(batches, deviations, (statistic - mean) / largest, (statistic - mean) / (n * b.rank - mean))


def _spread(n: float, side: _Side) -> float:
    return (n - 1) * side.rank - side.rank**2


def _skew(n: float, side: _Side) -> float:
    return n * (n + 1) * side.diagonal - (n - 1) * (side.rank**2 + 2 * side.rank)
