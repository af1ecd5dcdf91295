"""Whether a training got nowhere: a symptom counts only there."""

from __future__ import annotations

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.course import course_of
from nn_inspector.errors import InspectorError

LITTLE = 0.4
"""A training that has come less far than this from chance to the least possible loss did badly."""

_NO_FALL = 0.8


def got_nowhere(subject: Subject) -> bool | None:
    """Whether the training did badly; None where that cannot be told.

    Where chance is not known: whether the loss ended at more than four fifths of what it began with, or is lost.
    """
    try:
        course = course_of(subject)
    except InspectorError:
        return None
    if course.curve.lost:
        return True
    if course.levels is not None:
        return course.end < LITTLE
    start, end = course.curve.start, course.curve.end
    return end > _NO_FALL * start if start > 0 else None
