"""Targets of a regression that hold a number for what was not measured, and are learned as if it had been."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.marks import FarNumber, far_number
from nn_inspector.checks.data.target_scale import USUAL_SPREAD
from nn_inspector.checks.data.targets_seen import TargetsSeen, targets_seen, with_targets
from nn_inspector.checks.race import Race, race
from nn_inspector.errors import ExperimentError

LEVELS = 4
"""So many different numbers, at least, are left among targets that were measured: marks and ratings have few."""

_COLUMNS = 32


@dataclass(frozen=True, slots=True)
class MarkedTargets:
    """A number among the targets that probably stands for a missing one.

    Attributes:
        first: the number, in the first column that has one.
        column: which one, counted from 0; None where all numbers are of one kind.
        others: how many more columns have such a number.
        tried: a copy that is told the mean of the others there; None if that could not be tried.
    """

    first: FarNumber
    column: int | None
    others: int
    tried: Race | None


def marked_targets(subject: Subject) -> MarkedTargets | None:
    """Look at each column of the targets, and train a copy that is told the mean of the others where one has such a number.

    Maps and series are of one kind at all their places.

    Returns:
        None if no column has one, or if this is no regression.
    """
    seen = None
    with contextlib.suppress(ExperimentError):
        seen = targets_seen(subject)
    if seen is None or not bool(torch.isfinite(seen.values).all()):
        return None
    columns = _columns(seen)
    found = [far_number(values, measured=LEVELS) for values in columns]
    marked = [column for column, one in enumerate(found) if one is not None]
    if not marked:
        return None
    first = found[marked[0]]
    assert first is not None
    tried = race(subject, data=with_targets(seen, functools.partial(_filled, found=found)))
    return MarkedTargets(first, marked[0] if len(found) > 1 else None, len(marked) - 1, tried)


def _columns(seen: TargetsSeen) -> Sequence[torch.Tensor]:
    whole = seen.values
    return list(whole.T) if whole.shape[1] <= _COLUMNS else [whole.flatten()]


def _filled(target: torch.Tensor, found: Sequence[FarNumber | None]) -> torch.Tensor:
    """The mean of the others in place of the number; scaled anew where the number was scaled with them and left them all alike."""
    rows = target.reshape(-1, len(found)).clone()
    for column, one in enumerate(found):
        if one is not None:
            known = torch.where(rows[:, column] == one.value, one.mean, rows[:, column])
            rows[:, column] = (known - one.mean) / one.spread if one.spread < USUAL_SPREAD[0] else known
    return rows.reshape(target.shape)
