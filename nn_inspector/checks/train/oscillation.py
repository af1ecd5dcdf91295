"""oscillation: does the loss go up and down without getting anywhere?"""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.relation import relation
from nn_inspector.checks.train.course import Course, course_chart, course_of, levelled
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="oscillation",
    stage="train",
    kind="passive",
    question="Does the loss go up and down without getting anywhere?",
    why=(
        "Some up and down is usual: every batch is different. If it is as large as the loss itself and nothing is gained over many "
        "steps, each step undoes the one before: the rate is too high for batches this small."
    ),
    how=(
        "The middle half of the losses in the second half of the training is compared with their median. It is a warning if that "
        "range is above 30 % of it, less than 35 % of the way from chance to the least possible loss is done, and the loss does "
        "not surely fall any more. It is none if a copy's answers go with the labels. This is a symptom: the cause stands in another check."
    ),
    remedy="Lower the learning rate, or make the batches larger: four times as many items allow about twice the rate.",
    sources=(
        "McCandlish et al., An Empirical Model of Large-Batch Training (2018): gradient noise and batch size",
        "CS231n, Neural Networks Part 3: the loss at rates too high",
    ),
    explains=("no_learning", "slow_learning"),
)

WIDE = 0.3
"""The range of the middle half, over the median: plateaus at chance have about 0.05."""

RELATED = 0.5
"""Answers that go with the labels so far, see `relation`, have got somewhere as well."""

POOR = 0.35
"""A training that came further has got somewhere."""


def look(subject: Subject) -> Finding:
    """Compare the up and down with the loss itself."""
    course = course_of(subject)
    levelled(course)
    width = _width(course)
    evidence = {**course.evidence(), "range_over_median": width}
    if not width > WIDE or not course.end < POOR or course.curve.falling:
        message = f"No: the middle half of the losses lies within {width:.0%} of their median, and {course.end:.0%} of the way is done."
        return finding(INFO, "ok", message, evidence=evidence)
    found = relation(subject)
    if found.holds(RELATED):
        message = (
            f"It does, by {width:.0%} of itself around {course.curve.end:.3g}. But the answers go with the labels: some items are far "
            "off from the rest, and each batch holds others of them."
        )
        return finding(INFO, "info", message, evidence={**evidence, "relation": found.strength})
    message = (
        f"Yes: in the second half of the training the loss goes up and down by {width:.0%} of itself around {course.curve.end:.3g}, "
        "and does not get better."
    )
    remedy = Remedy(
        "Divide the learning rate by ten, or take batches four times as large.",
        'for group in optimizer.param_groups:\n    group["lr"] /= 10',
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy)


def _width(course: Course) -> float:
    losses = course.curve.losses[len(course.curve.losses) // 2 :]
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return float("nan")
    low, middle, high = np.percentile(losses, [25, 50, 75])
    return float((high - low) / abs(middle)) if middle else float("nan")


CHECK = Check(INFO, look, course_chart)
