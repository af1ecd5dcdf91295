"""slow_learning: it falls, but far too slowly."""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.train.course import Course, course_chart, course_of, levelled
from nn_inspector.checks.train.curve import SURE
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="slow_learning",
    stage="train",
    kind="passive",
    question="Does the loss fall so slowly that it will not arrive?",
    why=(
        "A loss that falls in a straight line from where it began shows that the direction is right and the steps are too small: "
        "a low rate, saturated units, small gradients in a deep network, or inputs that are not scaled."
    ),
    how=(
        "The loss surely falls (Mann-Kendall test) and has not slowed down. It is a warning then if less than 40 % of the way "
        "from chance to the least possible loss is done, and twice as many steps at this pace would not bring it to 60 %. This "
        "is a symptom: the cause stands in another check."
    ),
    remedy="Try rates ten times as high. If that does not help, look at vanishing gradients, saturation and the scale of inputs.",
    sources=(
        "CS231n, Neural Networks Part 3: the loss at a low learning rate is a straight line",
        "Mann, Nonparametric tests against trend (1945)",
    ),
    explains=("no_learning",),
)

POOR = 0.4
GOAL = 0.6
"""The training should have come so far; from POOR on it is on its way."""

STEADY = 0.5
"""The fall in the last quarter over that in the one before: below this it has slowed down, and is near its end."""

LONGER = 2.0
"""At its present pace it would need more than so many times its own length to come to the goal."""


def look(subject: Subject) -> Finding:
    """See whether it is on its way, and for how long."""
    course = course_of(subject)
    levelled(course)
    seen = course.curve
    steady, more = _pace(course)
    evidence = {**course.evidence(), "pace_kept": steady, "times_longer": more}
    falls = seen.falling and seen.trend(1.0) < -SURE
    if not (falls and course.end < POOR and steady > STEADY and more > LONGER):
        message = f"No: {max(course.end, 0):.0%} of the way from chance to the least possible loss is done."
        return finding(INFO, "ok", message, evidence=evidence)
    message = (
        f"Yes: the loss falls steadily, but from {seen.start:.3g} to {seen.end:.3g} in {seen.total} steps. At this pace it "
        f"would need about {more:,.0f} times as many."
    )
    remedy = Remedy(
        "Try a learning rate ten times as high.", 'for group in optimizer.param_groups:\n    group["lr"] *= 10'
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy)


def _pace(course: Course) -> tuple[float, float]:
    """The fall from the third to the last quarter over that before it, and how many times longer it takes to the goal."""
    if not np.isfinite(course.curve.smooth).all():
        return 0.0, float("inf")
    _, second, third, last = (float(np.median(part)) for part in np.array_split(course.curve.smooth, 4))
    gained = course.progress(last) - course.progress(third)
    more = 0.25 * (GOAL - course.end) / gained if gained > 0 else float("inf")
    return ((third - last) / (second - third) if second > third else 0.0), more


CHECK = Check(INFO, look, course_chart)
