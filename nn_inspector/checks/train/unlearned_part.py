"""A part of the loss that is learned only where the other parts have less weight: seen on two copies."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import BADLY, known_left
from nn_inspector.checks.train.part_levels import call_of, calls_of_its_kind, has_targets_of_its_own, level_of
from nn_inspector.checks.train.standing import takes_turns
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import (
    BatchSource,
    Start,
    TrainingCopy,
    initial_state,
    isolated,
    tensors_of,
    train,
)
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.experiments.summands import Summand, reweighted, summands
from nn_inspector.history import Trial
from nn_inspector.probes import CallMode, LossCall

UNLEARNED = 0.8
"""A part that still has this share of its first value, or of what constant answers give if that is less, was not learned."""

PARTLY = 0.55
"""The same where the others are so much stronger that next to nothing is left for it (`DROWNED`)."""

DROWNED = 1000.0
"""So many times as strong is the gradient of another part then, at the first weights."""

LEARNED = 0.5
"""One that has no more than this was."""

MOSTLY = 1 / 3
"""One that has no more than this was learned for the most part."""

BETTER = 0.6
"""Holding back the others is what helps if it leaves less than this share of what is left without."""

FACTOR = (100.0, 1e4)
"""The others get so much less weight: as much as they are stronger, within these bounds; if that does not help, the most.

How strong they are at the first weights does not tell all: what draws a code to nothing has no gradient once it is there.
"""

ASIDE = 0.1
"""A part with this weight or less is there to help, not to be learned, if the task is learned."""

SMALL = 0.003
"""A part with labels of its own and this weight or less, and a gradient weaker than that of another part by the least `FACTOR`,
is also tried with a weight of 1."""

_NOW = Start()
_STEPS = 400
_LOOKS = 8
_FEWEST_STEPS = 80
_JUDGES = 4
_TWO = 2
_TARGETS = frozenset({"cross entropy", "nll", "mse", "bce", "bce_with_logits", "smooth_l1", "huber"})


@dataclass(frozen=True, slots=True)
class UnlearnedPart:
    """A part of the loss that compares with targets and was not learned.

    Attributes:
        name: of the part.
        start, now: its value at the first weights, and now.
        level: the less of its first value and of what constant answers give.
        least: what perfect answers give.
        factor: the others had so much less weight on the copy.
        trial: of its value as it is in the loss, without and with that.
        own_weight: what the part is multiplied with, where the copy had a factor of 1; else None.
    """

    name: str
    start: float
    now: float
    level: float
    least: float
    factor: float
    trial: Trial
    own_weight: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the copy learned most of it."""
        return self.trial.treated[-1] - self.least <= MOSTLY * (self.level - self.least)


def unlearned_part(subject: Subject, parts: Sequence[Summand]) -> UnlearnedPart | None:
    """Look for a part that the user's training has not learned, and try whether it is learned with the others held back.

    Args:
        subject: training and run.
        parts: of the loss at the first weights.

    Returns:
        None if each part was learned, or holding back the others does not help, or this cannot be tried.
    """
    if subject.seconds <= 0 or subject.run.steps < _FEWEST_STEPS or len(parts) < _TWO:
        return None
    if len(subject.training.optimizers) > 1 or takes_turns(subject.run):
        return None  # adversaries keep each other's losses where they are
    try:
        return _tried(subject, parts, end=time.monotonic() + subject.seconds)
    except ExperimentError:
        return None


def _tried(subject: Subject, parts: Sequence[Summand], *, end: float) -> UnlearnedPart | None:
    judges = subject.batches()[:_JUDGES]
    first = _seen(subject, judges, initial_state(subject.training, subject.run))
    now = _seen(subject, judges, _NOW)
    if len(parts) != len(first.values) or len(parts) != len(now.values) or _has_one_answer_for_all(now.calls[0]):
        return None
    if _judge_the_same(now.calls[0]):
        return None
    levels = _levels(subject, parts, first, now)
    place = _weakest_unlearned(parts, levels, now.values)
    if place is None:
        return None
    level, least = levels[place]
    others = [part.gradient for number, part in enumerate(parts) if number != place]
    stronger = min(max(max(others) / max(parts[place].gradient, 1e-30), FACTOR[0]), FACTOR[1])
    batches = BatchSource(subject.training.data, seconds=subject.seconds / 6).mixed(_STEPS)
    begin = time.monotonic()
    own = _own_weight(subject, parts, place, first, judges)
    trials = [(1 / 3, 1.0, stronger), (2 / 3, 1.0, FACTOR[1])]
    if own is not None:
        trials = [(1 / 2, 1 / own, max(max(others) / max(parts[place].gradient, 1e-30) * own, 1.0))]
    for share, weight, factor in trials:
        weights = [weight if number == place else 1 / factor for number in range(len(parts))]
        treated = _trained(subject, batches, judges, place, weights, until=begin + share * (end - begin))
        if treated[-1] - least <= LEARNED * (level - least):
            break
    else:
        return None
    without = _trained(subject, batches, judges, place, None, until=end)
    looks = min(len(treated), len(without))
    if looks <= _LOOKS // 2 or not treated[looks - 1] - least < BETTER * (without[looks - 1] - least):
        return None
    every = _every(subject)
    trial = Trial(without[:looks], treated[:looks], helped=True, measure=parts[place].name, every=every)
    return UnlearnedPart(parts[place].name, first.values[place], now.values[place], level, least, factor, trial, own)


def _own_weight(
    subject: Subject, parts: Sequence[Summand], place: int, first: _Seen, judges: Sequence[Any]
) -> float | None:
    """What a part is multiplied with, if that is next to nothing and the part has labels of its own, apart from the inputs."""
    at = call_of(parts[place], first.calls[0])
    if at is None or any(len(calls) <= at for calls in first.calls):
        return None
    level = level_of([calls[at] for calls in first.calls], first.values[place])
    strongest = max(part.gradient for part in parts)
    if level is None or not 0 < level.weight <= SMALL or strongest < FACTOR[0] * parts[place].gradient:
        return None
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        seen = one_pass(copied, judges[0])
    inputs = [one for given in seen.inputs for one in given]
    target = seen.calls[at].target
    labels = [one for one in tensors_of(judges[0]) if not any(_is_same(one, given) for given in inputs)]
    return level.weight if any(_is_same(one, target) for one in labels) else None


def _is_same(one: torch.Tensor, other: Any) -> bool:
    """Whether two tensors hold the same numbers, be their types and shapes as they are."""
    if not isinstance(other, torch.Tensor) or one.numel() != other.numel():
        return False
    return torch.equal(one.detach().flatten().double().cpu(), other.detach().flatten().double().cpu())


@dataclass(frozen=True, slots=True)
class _Seen:
    """The parts of the loss with some weights: their mean values, and the loss functions that were called on each batch."""

    values: Sequence[float]
    calls: Sequence[Sequence[LossCall]]


def _seen(subject: Subject, judges: Sequence[Any], state: Start) -> _Seen:
    calls: list[list[LossCall]] = []
    with isolated(subject.training, start=state) as copied:
        values = _means(copied, judges)
        for batch in judges:
            calls.append([])
            with torch.no_grad(), CallMode(calls[-1].append):
                copied.loss(batch)
    return _Seen(values, calls)


def _levels(subject: Subject, parts: Sequence[Summand], first: _Seen, now: _Seen) -> list[tuple[float, float]]:
    """Of each part its first value, or what constant answers give if that is less; and what perfect answers give.

    NaN if the network makes the targets itself, and if a part has little weight on purpose beside a task that is learned.
    """
    levels = []
    for part, value in zip(parts, first.values, strict=True):
        place = call_of(part, first.calls[0])
        if place is None or any(len(calls) <= place for calls in (*first.calls, *now.calls)):
            levels.append((value if _may_be_meant(part, first, now) else math.nan, 0.0))
            continue
        own, later = [calls[place] for calls in first.calls], [calls[place] for calls in now.calls]
        level = level_of(own, value)
        aside = level is not None and level.weight <= ASIDE and _is_learned(subject)
        meant = has_targets_of_its_own(own, later) and not aside
        highest = min(value, level.constant if level is not None else math.inf)
        levels.append((highest if meant else math.nan, level.least if level is not None else 0.0))
    return levels


def _may_be_meant(part: Summand, first: _Seen, now: _Seen) -> bool:
    """Whether all calls that may have made a part compare with what comes from the data."""
    return all(
        all(len(calls) > place for calls in (*first.calls, *now.calls))
        and has_targets_of_its_own([calls[place] for calls in first.calls], [calls[place] for calls in now.calls])
        for place in calls_of_its_kind(part, first.calls[0])
    )


def _is_learned(subject: Subject) -> bool:
    left = known_left(subject)
    return left is not None and left <= BADLY


def _has_one_answer_for_all(calls: Sequence[LossCall]) -> bool:
    """Whether a part compares all items with one and the same number, as adversaries do: real or made."""
    targets = [call.target for call in calls if isinstance(call.target, torch.Tensor) and call.target.numel() > 1]
    return any(bool((target == target.flatten()[0]).all()) for target in targets)


def _judge_the_same(calls: Sequence[LossCall]) -> bool:
    """Whether two parts compare the same answers with two targets, as where items are mixed: each is what the other leaves."""
    judged = [(call.name, call.prediction.data_ptr(), call.prediction.shape) for call in calls]
    return len(set(judged)) < len(judged)


def _weakest_unlearned(
    parts: Sequence[Summand], levels: Sequence[tuple[float, float]], now: Sequence[float]
) -> int | None:
    """Of the parts that compare with targets and were not learned the one with the least gradient."""
    if sum(part.gradient > 0 for part in parts) < _TWO:
        return None
    strongest = max(part.gradient for part in parts)
    unlearned = [
        number
        for number, part in enumerate(parts)
        if part.gradient > 0 and _TARGETS & set(part.name.split(" of "))
        if _is_unlearned(*levels[number], now[number], PARTLY if strongest > DROWNED * part.gradient else UNLEARNED)
    ]
    return min(unlearned, key=lambda number: parts[number].gradient, default=None)


def _is_unlearned(level: float, least: float, now: float, share: float) -> bool:
    return 0 < share * (level - least) < now - least < math.inf


def _means(copied: TrainingCopy, judges: Sequence[Any]) -> list[float]:
    found = [[part.value for part in summands(copied, batch, gradients=False)] for batch in judges]
    if len({len(values) for values in found}) != 1:
        raise ExperimentError("The loss has now more parts and now fewer.")
    return [sum(values) / len(found) for values in zip(*found, strict=True)]


def _every(subject: Subject) -> int:
    return min(subject.run.steps, _STEPS) // _LOOKS


def _trained(
    subject: Subject,
    batches: Sequence[Any],
    judges: Sequence[Any],
    place: int,
    weights: Sequence[float] | None,
    *,
    until: float,
) -> list[float]:
    """The value of the part at the start of a short training and after each eighth of it."""
    every = _every(subject)
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        values = [_means(copied, judges)[place]]
        for look in range(_LOOKS):
            chosen = [batches[(look * every + step) % len(batches)] for step in range(every)]
            with reweighted(copied, weights):
                train(copied, chosen, steps=every, deadline=until)
            if time.monotonic() > until:
                break
            values.append(_means(copied, judges)[place])
    return values
