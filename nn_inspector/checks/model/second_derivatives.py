"""Parts of a loss that get their gradient through second derivatives, in a network of straight pieces, which has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, initial_state, isolated
from nn_inspector.experiments.summands import Summand, summands

_STRAIGHT_PIECES = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.Hardtanh)


@dataclass(frozen=True, slots=True)
class NoCurve:
    """A part of the loss without a gradient, which gets one where the functions between the layers are curved.

    Attributes:
        part: as it is.
        curved: its gradient with tanh in their place.
        where: the first of these functions.
    """

    part: Summand
    curved: float
    where: str


def no_curve(subject: Subject) -> NoCurve | None:
    """Look for a part of the loss without a gradient, and whether it has one with tanh between the layers."""
    pieces = [name for name, one in subject.training.model.named_modules() if isinstance(one, _STRAIGHT_PIECES)]
    if subject.seconds <= 0 or not pieces:
        return None
    try:
        straight = _parts(subject, ())
        silent = [place for place, part in enumerate(straight) if part.gradient == 0 and part.value != 0]
        if not silent or not any(part.gradient > 0 for part in straight):
            return None
        curved = _parts(subject, pieces)
    except ExperimentError:
        return None
    if len(curved) != len(straight):
        return None
    found = (NoCurve(straight[place], curved[place].gradient, pieces[0]) for place in silent if curved[place].gradient)
    return next(found, None)


def _parts(subject: Subject, curved: Sequence[str]) -> list[Summand]:
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        for name in curved:
            _put(copied, name, nn.Tanh())
        return summands(copied, subject.moments()[0])


def _put(copied: TrainingCopy, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(copied.model.get_submodule(parent), own, module)
