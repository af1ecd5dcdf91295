"""Numbers that stand for a missing one: far from all others, and the same again and again."""

from __future__ import annotations

from dataclasses import dataclass

import torch

MARKS = (-9999.0, -999.0, -99.0, 999.0, 9999.0, 99999.0)
"""Numbers that are often written where one is missing."""

MEASURED = 10
"""So many different numbers, at least, are left in a column that was measured; others are categories and flags."""

_FAR = 20.0
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class FarNumber:
    """A number that comes several times, far from all others.

    Attributes:
        value: the number.
        share: of the numbers that are it.
        mean, spread: of the others.
    """

    value: float
    share: float
    mean: float
    spread: float


def far_number(values: torch.Tensor, *, measured: int = MEASURED) -> FarNumber | None:
    """Look for one among numbers that were measured.

    Args:
        values: of one column, [items].
        measured: so many different numbers are left, at least, unless the number is one of `MARKS`.

    Example:
        >>> far_number(torch.cat([torch.linspace(-1, 1, 40), torch.full((5,), 99.0)])).value
        99.0
    """
    for value in dict.fromkeys((float(values.min()), float(values.max()), *MARKS)):
        alike = values == value
        others = values[~alike].double()
        if int(alike.sum()) < _FEWEST or len(others) < max(_FEWEST, int(alike.sum())):
            continue
        if value not in MARKS and len(others.unique()) < measured:
            continue
        middle, spread = float(others.median()), float(others.std())
        width = float((others - middle).abs().quantile(0.9))
        if abs(value - middle) > _FAR * max(width, 1e-12):
            return FarNumber(value, float(alike.double().mean()), float(others.mean()), spread or 1.0)
    return None
