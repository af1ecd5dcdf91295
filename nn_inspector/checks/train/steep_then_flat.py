"""steep_then_flat: a steep fall in the first steps, and nothing after it."""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.train.course import Course, course_chart, course_of, levelled
from nn_inspector.checks.train.curve import SURE
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="steep_then_flat",
    stage="train",
    kind="passive",
    question="Does the loss fall steeply at first and then stay where it is, far from good?",
    why=(
        "If the first steps only undo a bad start (weights or outputs of the wrong size), the curve looks like a hockey stick: "
        "what fell was never worth anything. A rate too high does the same: the loss falls at once and settles badly."
    ),
    how=(
        "80 % of the fall lies in the first tenth of the steps, and the rest shows no sure fall. It is a warning then if never "
        "more than 40 % of the way from chance to the least possible loss was done. This is a symptom: the cause stands in "
        "another check."
    ),
    remedy="Start with smaller weights in the last layer and its bias at the mean of the targets, or try a lower rate.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): init well, no hockey stick loss curves",
        "CS231n, Neural Networks Part 3: the loss at a high learning rate",
    ),
    explains=("no_learning",),
)

EARLY = 0.8
"""Share of the whole fall that lies in the first tenth."""

POOR = 0.4
"""From here on the training has come far enough for a flat end to be its goal."""

FALL = 0.3
"""The fall counts if it is at least so large, in units of the way from chance to the least possible loss."""


def look(subject: Subject) -> Finding:
    """Look at where the fall lies."""
    course = course_of(subject)
    levelled(course)
    share = _early_share(course)
    evidence = {**course.evidence(), "early_share": share}
    seen = course.curve
    fell = course.best - course.progress(_first(course)) > FALL
    flat = seen.trend(0.8) > -SURE
    if not (share > EARLY and flat and fell and course.best < POOR):
        return finding(INFO, "ok", f"No: the loss went from {seen.start:.3g} to {seen.end:.3g}.", evidence=evidence)
    message = (
        f"Yes: {min(share, 1):.0%} of the fall lies in the first tenth of the {seen.total} steps, from {_first(course):.3g} down; "
        f"since then the loss has stayed at about {seen.end:.3g}."
    )
    remedy = Remedy(
        "Let the training start where it should: a small last layer whose bias is the mean of the targets (or the log-odds of "
        "the classes). Then try a lower rate.",
        'inspector.check("initial_loss")\ninspector.check("learning_rate", every=True)',
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy)


def _first(course: Course) -> float:
    return float(np.nanmax([course.curve.start, course.curve.smooth[0]]))


def _early_share(course: Course) -> float:
    first, best = _first(course), course.curve.best
    fall = first - best
    return float((first - np.nanmedian(course.curve.smooth[1:3])) / fall) if fall > 0 else float("nan")


CHECK = Check(INFO, look, course_chart)
