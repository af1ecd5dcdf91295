"""A penalty on the weights with a minus: the larger they are, the lower is the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, initial_state, isolated
from nn_inspector.probes import without_penalty

GREW = 2.0
RULES = 10.0
"""The term became so many times as large as it was: the steps worked on it; from here on it is what they worked on."""

_SCALE = 1.5
_LEAST_POWER = 0.9
_EVEN = 0.05


@dataclass(frozen=True, slots=True)
class RewardForSize:
    """A term of the loss that depends on the weights alone and falls without end as they grow.

    Attributes:
        start, now: its value at the first weights and now; both are below zero.
        loss: the rest of the loss at the first weights.
    """

    start: float
    now: float
    loss: float

    @property
    def rules(self) -> bool:
        """Whether more was gained by large weights than there was to learn."""
        return self.now < RULES * self.start and -self.now > abs(self.loss)


def reward_for_size(subject: Subject) -> RewardForSize | None:
    """Look at what the loss has for the weights alone, with weights of other sizes.

    A sum of squares or absolute values grows with the same power from each size to the next. What is lower for larger weights and does
    not, such as the logarithm of a determinant, is no penalty: it may be meant.

    Returns:
        None if there is no such term, if it did not grow, and where it is not known how the loop makes its loss.
    """
    training = subject.training
    if subject.seconds <= 0 or training.step is not None or training.tape is None:
        return None
    if without_penalty(training.tape) == training.tape:
        return None
    try:
        batch = subject.batches()[0]
        with isolated(training, start=initial_state(training, subject.run)) as copied:
            start, loss = _term(copied, batch)
        with isolated(training, start=Start()) as copied:
            now = _term(copied, batch)[0]
        if not (start < 0 and GREW * start > now > -math.inf):
            return None
        sizes = []
        for scale in (1 / _SCALE, _SCALE):
            with isolated(training, start=initial_state(training, subject.run)) as copied:
                _resize(copied, scale)
                sizes.append(_term(copied, batch)[0] / start)
    except ExperimentError:
        return None
    smaller, larger = sizes
    if larger < _SCALE**_LEAST_POWER or not math.isclose(smaller * larger, 1.0, rel_tol=_EVEN):
        return None
    return RewardForSize(start, now, loss)


@torch.no_grad()
def _term(copied: TrainingCopy, batch: object) -> tuple[float, float]:
    """What is in the loss for the weights alone, and the rest."""
    copied.same_noise = True
    copied.penalty = True
    whole = float(copied.loss(batch))
    copied.penalty = False
    rest = float(copied.loss(batch))
    return whole - rest, rest


@torch.no_grad()
def _resize(copied: TrainingCopy, scale: float) -> None:
    for parameter in copied.model.parameters():
        if parameter.is_floating_point():
            parameter.mul_(scale)
