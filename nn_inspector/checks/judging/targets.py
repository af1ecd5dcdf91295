"""What a prediction is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.answers import is_one_hot
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.probes import label_parts
from nn_inspector.stats import is_dense

MOST_CLASSES = 1000
"""Whole numbers up to here may be classes."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets.

    Attributes:
        shape: of one batch.
        low, high: the least and the greatest.
        whole: whether all are whole numbers.
        distinct: how many different ones there are.
        values: a few batches of them as they stand in the loader, [items, ...], or None.
        integers: whether they are stored as whole numbers.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    whole: bool
    distinct: int
    values: torch.Tensor | None = None
    integers: bool = False

    @property
    def yes_or_no(self) -> bool:
        """Whether all are 0 or 1."""
        return self.whole and self.low >= 0 and self.high <= 1

    @property
    def one_hot(self) -> bool:
        """Whether each row holds a single 1 among zeros."""
        return self.values is not None and is_one_hot(self.values)

    @property
    def rows_sum_to_one(self) -> bool:
        """Whether each row is a distribution over its columns."""
        if self.values is None or self.values.dim() != 2 or self.values.shape[1] < 2:
            return False
        values = self.values.float()
        return bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < 1e-3).all())

    @property
    def class_numbers(self) -> bool:
        """Whether they look like the numbers of more than two classes: 0, 1, 2, ... one for each item."""
        single = math.prod(self.shape[1:]) == 1
        return single and self.whole and self.low >= 0 and 2 <= self.high < MOST_CLASSES and self.distinct > 2

    @property
    def about_classes(self) -> bool:
        """Whether they say which class is right, or answer yes or no, in whatever form."""
        return self.class_numbers or self.yes_or_no or self.rows_sum_to_one

    @property
    def classes(self) -> int:
        """How many classes there are, if they are class numbers."""
        return int(self.high) + 1

    def outside(self, low: float, high: float) -> float:
        """The share of them that is clearly outside of a range; of those that are not known one by one, a guess."""
        slack = 0.01 * max(self.high - self.low, 1e-12)
        if self.values is None:
            way = self.high - self.low
            beyond = max(low - self.low, 0.0) + max(self.high - high, 0.0)
            return min(1.0, beyond / way) if way > 0 else float(beyond > 0)
        values = self.values.double()
        return float(((values < low - slack) | (values > high + slack)).double().mean())


def of_facts(facts: Sequence[Mapping[str, Any]], known: torch.Tensor | None) -> Targets | None:
    """The targets of calls of one loss function, from what was noted of them.

    Args:
        facts: of the calls.
        known: targets as they stand in the loader; taken where they fit.
    """
    shapes = [fact.get("target_shape") for fact in facts]
    lows = [fact["target_low"] for fact in facts if fact.get("target_low") is not None]
    highs = [fact["target_high"] for fact in facts if fact.get("target_high") is not None]
    if not lows or not isinstance(shapes[0], list):
        return None
    shape = tuple(shapes[0])
    fitting = known if known is not None and tuple(known.shape[1:]) == shape[1:] else None
    whole = all(bool(fact.get("target_whole")) for fact in facts)
    if fitting is not None and _alike(fitting, min(lows), max(highs), whole=whole):
        return of_tensor(fitting, items=shape[0] if shape else 1)
    distinct = max(int(fact.get("target_distinct") or 0) for fact in facts)
    integers = "int" in str(facts[0].get("target_dtype"))
    return Targets(shape, min(lows), max(highs), whole, distinct, integers=integers)


def of_tensor(values: torch.Tensor, items: int) -> Targets | None:
    """Targets that are known one by one."""
    values = values.detach().cpu()
    numbers = values.double()
    finite = numbers[numbers.isfinite()]
    if not len(finite):
        return None
    whole = bool((finite == finite.floor()).all())
    return Targets(
        (items, *values.shape[1:]),
        float(finite.min()),
        float(finite.max()),
        whole,
        int(finite.unique().numel()),
        values,
        not values.is_floating_point(),
    )


def loader_targets(subject: Subject) -> torch.Tensor | None:
    """The last part of some batches of train_loader, [items, ...]; None where there is none or it cannot be read."""
    try:
        found = [_last_part(batch) for batch in subject.batches()]
    except ExperimentError:
        return None
    tensors = [one for one in found if one is not None]
    alike = len(tensors) == len(found) and len({one.shape[1:] for one in tensors}) == 1
    return torch.cat(tensors) if alike else None


def _last_part(batch: Any) -> torch.Tensor | None:
    parts = [part for _, part in label_parts(batch) if isinstance(part, torch.Tensor)]
    last = parts[-1] if parts else None
    usable = last is not None and last.dim() > 0 and not last.is_complex() and is_dense(last)
    return last if usable else None


def _alike(values: torch.Tensor, low: float, high: float, *, whole: bool) -> bool:
    """Whether what the loss was given may be some of these values as they are: they have about the same range."""
    numbers = values.double()
    least, most = float(numbers.min()), float(numbers.max())
    slack = 0.25 * (most - least) + 1e-6
    within = low >= least - slack and high <= most + slack
    return within and high - low >= 0.3 * (most - least) and whole == bool((numbers == numbers.floor()).all())
