"""A copy that goes on from the present weights at the present learning rate, and one that does at a higher one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Arm, BatchSource, Start, TrainingCopy, try_remedy
from nn_inspector.history import Trial

GAIN = 0.1
"""Share of the first loss of the run that the highest rate must win, so that a rate is said to be too low."""

_TRIAL_STEPS = 80
_MOST_TRIAL_STEPS = 400
_TRIAL_SHARE = 0.25
"""Steps of the trial: so much of the run, within these bounds."""


def try_rates(
    subject: Subject, present: Sequence[float], higher: Sequence[float], *, falling: bool = False
) -> Trial | None:
    """Go on from the present weights with the present rates, and with higher ones, which may fall to nothing meanwhile."""
    training = subject.training
    if subject.seconds <= 0:
        return None
    treated = _fall_from(higher, _trial_steps(subject)) if falling else _set_rates(higher)
    try:
        steps = _trial_steps(subject)
        batches, judge = BatchSource(training.data, seconds=subject.seconds / 3).for_training(steps)
        arms = (Arm(batches, judge, change=change) for change in (_set_rates(present), treated))
        return try_remedy(training, *arms, steps=steps, start=Start(), seconds=subject.seconds)
    except ExperimentError:
        return None


def _trial_steps(subject: Subject) -> int:
    return int(min(max(_TRIAL_SHARE * subject.run.steps, _TRIAL_STEPS), _MOST_TRIAL_STEPS))


def _set_rates(rates: Sequence[float]) -> Callable[[TrainingCopy], None]:
    def change(copied: TrainingCopy) -> None:
        groups = [group for optimizer in copied.optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate

    return change


def _fall_from(rates: Sequence[float], within: int) -> Callable[[TrainingCopy], None]:
    def change(copied: TrainingCopy) -> None:
        steps = 0

        def before_step(*_: Any) -> None:
            nonlocal steps
            share = max(1 - steps / within, 0.0)
            _set_rates([share * rate for rate in rates])(copied)
            steps += 1

        copied.optimizers[0].register_step_pre_hook(before_step)

    return change


def gain_of(subject: Subject, trial: Trial | None) -> bool | None:
    """Whether the gain of a trial is worth a word, beside what the whole run is about."""
    if trial is None:
        return None
    if not trial.helped:
        return False
    losses = subject.run.series("loss", "train").values
    first = abs(float(losses[0])) if len(losses) and np.isfinite(losses[0]) else 0.0
    gains = [w - t for w, t in zip(trial.without[-5:], trial.treated[-5:], strict=False)]
    return bool(np.median(gains) > GAIN * first) if np.isfinite(gains).all() else True


def is_halved(trial: Trial) -> bool:
    """Whether the higher rate leaves no more than half of the loss that is left without it."""
    without, treated = (float(np.median(losses[-5:])) for losses in (trial.without, trial.treated))
    return 0 <= treated <= without / 2
