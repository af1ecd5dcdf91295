"""A loss that is scaled against its mean: a copy without the factor beside one with it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.loss_scale import UNUSUAL, LossScale
from nn_inspector.checks.race import Race, race
from nn_inspector.checks.train.rate_for_a_few import times
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import initial_state, isolated
from nn_inspector.probes import CallMode, LossCall


def race_to_mean(subject: Subject, scale: LossScale) -> Race | None:
    """The loop's factor may stand in the loss that copies train with, or behind it in the loop."""
    try:
        within = scale.factor if _is_replayed(subject) else _scale_of_copy(subject)
    except ExperimentError:
        return None
    if abs(math.log(within / scale.factor)) < math.log(UNUSUAL) / 2:
        return race(subject, times(1 / within))
    treated = times(1 / within) if abs(math.log(within)) > math.log(UNUSUAL) / 2 else None
    return race(subject, treated, without=times(scale.factor / within))


def _is_replayed(subject: Subject) -> bool:
    """Whether copies compute the loss as the loop did, with all that it does to it."""
    return subject.training.step is None and subject.training.tape is not None


def _scale_of_copy(subject: Subject) -> float:
    """As `LossScale.factor`, of the loss that experiments compute."""
    calls: list[LossCall] = []
    start = initial_state(subject.training, subject.run)
    with isolated(subject.training, start=start) as copied, torch.no_grad():
        for batch in subject.batches()[:1]:
            with CallMode(calls.append):
                value = float(copied.loss(batch))
    if len(calls) != 1:
        raise ExperimentError("The loss is not what one loss function of torch's returned.")
    call = calls[0]
    mean = float(getattr(F, call.name)(call.prediction, call.target, **{**call.options, "reduction": "mean"}))
    if not mean or not value or not math.isfinite(value / mean):
        raise ExperimentError("The scale of the loss is not known.")
    return abs(value / mean)
