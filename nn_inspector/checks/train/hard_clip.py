"""Gradients that are clipped to a small part of what they are, at nearly every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import Race, race
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Run
from nn_inspector.probes import Clipping

HARD = 10.0
"""So many times as long as the limit the gradients are at most steps."""

_FEWEST = 5


@dataclass(frozen=True, slots=True)
class HardClip:
    """Clipping by the norm.

    Attributes:
        limit: the greatest norm that is let pass.
        norm: that of the gradients before, at half of the steps.
    """

    limit: float
    norm: float


def hard_clip(run: Run) -> HardClip | None:
    """How hard the first steps were clipped; None if hardly, seldom, or by value."""
    found = [entry.facts for entry in run.trace if entry.call == "clip" and entry.facts.get("kind") == "norm"]
    pairs = [
        (limit, norm)
        for limit, norm in ((one.get("limit"), one.get("norm")) for one in found)
        if isinstance(limit, int | float) and isinstance(norm, float) and limit > 0 and np.isfinite(norm)
    ]
    if len(pairs) < _FEWEST:
        return None
    limit, norm = (float(np.median(column)) for column in zip(*pairs, strict=True))
    return HardClip(limit, norm) if norm >= HARD * limit else None


def race_without_clipping(subject: Subject, clip: HardClip) -> Race | None:
    """Copies take steps with the whole gradient, and with what the loop leaves of it."""
    return race(subject, _whole, without=lambda copied: copied.clip(Clipping("norm", clip.limit)))


def _whole(copied: TrainingCopy) -> None:
    copied.clip(None)
