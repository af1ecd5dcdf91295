"""Columns whose numbers are so large that their format cannot tell neighbours apart: time stamps in float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nn_inspector.checks.data.inputs_seen import InputsSeen

SHARED = 3.0
"""So many items, on average, have each of the numbers of a coarse column."""

COARSE = 2.0
"""Numbers that lie so far apart in their format are coarser than whole numbers are."""

_FEWEST_ITEMS = 60
_GAP = 2.0


@dataclass(frozen=True, slots=True)
class Coarse:
    """A column that was rounded by its format.

    Attributes:
        column: counted from 0.
        dtype: its format.
        size: of its numbers.
        apart: how far neighbouring numbers of the format are from each other there.
        numbers: how many different ones the column holds.
        items: how many items were looked at.
    """

    column: int
    dtype: torch.dtype
    size: float
    apart: float
    numbers: int
    items: int


def coarse_column(seen: InputsSeen) -> Coarse | None:
    """The first column of a table or of sequences that holds large numbers on the grid of its format, shared by many items.

    All numbers are further from 0 than from each other. Those that were rounded before (money in thousands, days in seconds)
    lie further apart than the format's neighbours, and numbers up to 2**24 are exact in float32.
    """
    if seen.dims not in (1, 2, 3):
        return None
    return next(_coarse(seen), None)


def _coarse(seen: InputsSeen) -> Iterator[Coarse]:
    for column in range(seen.values.shape[1]):
        values = seen.values[:, column].double()
        least, most = float(values.abs().min()), float(values.abs().max())
        if len(values) < _FEWEST_ITEMS or not math.isfinite(most) or least <= 0 or most > 2 * least:
            continue
        apart = spacing(least, seen.dtype)
        numbers = values.unique()
        if apart < COARSE or not 2 < len(numbers) <= len(values) / SHARED:
            continue
        if float(numbers.diff().median()) <= _GAP * apart:
            yield Coarse(column, seen.dtype, float(values.median()), apart, len(numbers), len(values))


def spacing(size: float, dtype: torch.dtype) -> float:
    """How far a number of this size is from the next one of its format.

    Example:
        >>> spacing(1.7e9, torch.float32), spacing(2000.0, torch.float16), spacing(2000.0, torch.bfloat16)
        (128.0, 1.0, 8.0)
    """
    return torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(size))
