"""no_learning: is the loss no better than chance after enough steps?"""

from __future__ import annotations

import math

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.relation import relation
from nn_inspector.checks.train.course import ENOUGH_STEPS, course_chart, course_of, levelled
from nn_inspector.checks.train.curve import SURE
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="no_learning",
    stage="train",
    kind="passive",
    question="Does the network do better than chance?",
    why=(
        "A prediction that knows nothing of the input, always the same one, scores a certain loss. A network that is no better "
        "after many steps has learned nothing, whatever its curve looks like."
    ),
    how=(
        f"From {ENOUGH_STEPS} steps on, the loss at the end is compared with that of the best constant prediction on your "
        "labels. It is a warning if less than a tenth of the way from there to the least possible loss is done, and was never "
        "done much better before. It is none if the loss is level and a copy answers far better than by chance. This is a symptom: the cause stands in another check."
    ),
    remedy="Look at the causes named beside it. If there are none, run one_batch_fit: it shows whether the network can learn sixteen items by heart.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): an input-independent baseline",
        "CS231n, Neural Networks Part 3: look for correct loss at chance performance",
    ),
)

NOTHING = 0.1
"""Less than this share of the way is next to nothing: trainings on labels that are mostly noise come further."""

LITTLE = 0.05
"""From here on a loss that surely fell has found something, and the labels may hold no more."""

RELATED = 0.2
"""Answers that go with the labels so far, see `relation`, have learned something, however high the loss is."""

NEVER = 0.15
"""... and at its best it was not above this either."""


def look(subject: Subject) -> Finding:
    """Compare the loss with chance."""
    course = course_of(subject)
    levels, evidence = levelled(course), course.evidence()
    end = course.curve.end
    little = course.end >= LITTLE and course.curve.trend(1.0) < -SURE
    if course.end >= NOTHING or course.best >= NEVER or little or math.isnan(course.end):
        if course.end < NOTHING and little:
            message = f"Very little: the loss is {end:.3g}, and a prediction that knows nothing would get {levels.chance:.3g}."
            return finding(INFO, "info", message, evidence=evidence)
        if course.end < NOTHING:
            message = f"It did before: the loss was {course.curve.best:.3g} at its best; now it is {end:.3g}, no better than chance."
            return finding(INFO, "info", message, evidence=evidence)
        message = f"Yes: the loss is {end:.3g}, and a prediction that knows nothing would get {levels.chance:.3g}."
        return finding(INFO, "ok", message, evidence=evidence)
    found = relation(subject)
    if course.curve.trend(1.0) >= -SURE and found.holds(RELATED):
        message = (
            f"Little, going by the loss: it is {end:.3g}, and a prediction that knows nothing would get {levels.chance:.3g}. But the "
            "answers go with the labels far more than by chance. The labels may hold no more."
        )
        return finding(INFO, "info", message, evidence={**evidence, "relation": found.strength})
    message = (
        f"No: after {course.curve.total} steps the loss is {end:.3g}, and a prediction that knows nothing of the input gets "
        f"{levels.chance:.3g}. Nothing was learned that depends on the input."
    )
    remedy = Remedy(
        "Find out whether the network can learn at all: let it learn sixteen items by heart.",
        'inspector.check("one_batch_fit")',
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy)


CHECK = Check(INFO, look, course_chart)
