"""What the diagnosis has to reach, on trainings that no threshold was set on."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.diagnosis.counting import TOP, Score, Share

FIRST = 0.75
AMONG_FIRST = 0.9
NOTICED = 0.97
"""Broken trainings with the cause first, with it among the first, and with an alarm that names it or a symptom, at least."""

ERRORS = 0.0
WARNINGS = 0.02
"""Sound trainings with an error, and with a warning, at most; repaired twins are among them."""


def missed(score: Score) -> list[str]:
    """The targets that a score misses, one sentence each."""
    return list(_missed(score))


def _missed(score: Score) -> Iterator[str]:
    for name, reached, target in (
        ("cause first", score.first, FIRST),
        (f"cause among the first {TOP}", score.among_first, AMONG_FIRST),
        ("noticed", score.noticed, NOTICED),
    ):
        if reached.count < target * reached.total:
            yield f"{name}: {reached}, and {target:.0%} is the target."
    for severity, target in (("error", ERRORS), ("warning", WARNINGS)):
        found = [share for (_, one), share in score.alarms.items() if one == severity]
        raised = Share(sum(share.count for share in found), sum(share.total for share in found))
        if raised.count > target * raised.total:
            yield f"{severity} on sound trainings: {raised}, and {target:.0%} is the most."
    if score.failures.count:
        yield f"without an answer: {score.failures}."
