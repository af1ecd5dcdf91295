"""divergence: does the loss rise instead of falling?"""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.train.course import Course, course_chart, course_of
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.traced_levels import late_target_spread
from nn_inspector.history import Finding, Remedy, Run

INFO = CheckInfo(
    name="divergence",
    stage="train",
    kind="passive",
    question="Does the loss rise instead of falling?",
    why=(
        "Each step should make the loss on its batch a little smaller. If the loss rises, the steps overshoot (the rate is too "
        "high, gradients explode), or they go the wrong way (a sign, gradients that are not cleared)."
    ),
    how=(
        "The loss at the end is compared with that of the first three steps: it is a warning from twice as much on (five "
        "times if it is not known what chance gives), or if it surely rises in the second half (Mann-Kendall test over ten medians) and is above its start. A loss that may be "
        "negative, and several losses that take turns, are not judged. This is a symptom: the cause stands in another check."
    ),
    remedy="Lower the learning rate by factors of ten, and see whether gradients are cleared and their sign is right.",
    sources=(
        "Smith, Cyclical Learning Rates for Training Neural Networks (2017): the loss at rates too high",
        "Mann, Nonparametric tests against trend (1945)",
    ),
    explains=("no_learning", "slow_learning", "steep_then_flat", "oscillation", "loss_spike"),
)

ABOVE = 2.0
"""So many times its first value, the loss has left all that a start and its noise explain."""

RISE = 0.2
"""A sure rise counts from this share of the first loss above it."""

FAR_ABOVE = 5.0
"""The same where it is not known what chance would give: there a loss may have reasons to rise."""

GREW = 1.5
"""Targets whose spread grew by this factor make a squared error twice as large."""

_LEAST = 20
_TARGETS = 5


def look(subject: Subject) -> Finding:
    """Compare end and start."""
    course = course_of(subject, least=_LEAST)
    seen, evidence = course.curve, course.evidence()
    if not seen.start > 0 or seen.best < 0:
        message = f"It went from {seen.start:.3g} to {seen.end:.3g}. How high a loss that may be negative should be is not known."
        return finding(INFO, "ok", message, evidence=evidence)
    if not seen.lost and _targets_grew(subject.run):
        message = f"The loss went from {seen.start:.3g} to {seen.end:.3g}, but the targets grew as well: they are not the same task."
        return finding(INFO, "ok", message, evidence=evidence)
    if not _diverges(course):
        return finding(INFO, "ok", f"No: the loss went from {seen.start:.3g} to {seen.end:.3g}.", evidence=evidence)
    end = f"{seen.end:.3g}" if math.isfinite(seen.end) else "NaN or infinity"
    message = f"Yes: the loss began at {seen.start:.3g} and is at {end} after {seen.total} steps."
    if seen.best < 0.8 * seen.start:
        message += f" At its best it was {seen.best:.3g}."
    remedy = Remedy(
        "Lower the learning rate by a factor of ten until the loss falls. If it rises at any rate, the steps go the wrong way: "
        "look at the sign of the loss and at where gradients are cleared.",
        'for group in optimizer.param_groups:\n    group["lr"] /= 10',
    )
    return finding(INFO, "warning", message, evidence={**evidence, "step": _since(seen)}, remedy=remedy)


def _since(seen: LossCurve) -> float:
    """The step from which on the loss has been above its start."""
    low = np.flatnonzero(seen.losses <= seen.start)
    first = int(low[-1]) + 1 if len(low) else 0
    return float(seen.steps[min(first, len(seen.steps) - 1)])


def _diverges(course: Course) -> bool:
    seen = course.curve
    above = ABOVE if course.levels is not None else FAR_ABOVE
    if seen.end > above * seen.start:
        return True
    return course.levels is not None and seen.rising and seen.end > (1 + RISE) * seen.start


def _targets_grew(run: Run) -> bool:
    """Whether the targets are of another size than at first: in reinforcement learning a network makes them."""
    spreads = run.series("target_spread", "train").values
    first = float(np.median(spreads[:_TARGETS])) if len(spreads) >= 2 * _TARGETS else math.inf
    return late_target_spread(run) > GREW * first


CHECK = Check(INFO, look, course_chart)
