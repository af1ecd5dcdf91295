"""Answers against what is known to be true."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.diagnosis.answer import Answer
from benchmarks.diagnosis.tasks import Task

Outcome = tuple[Task, Answer]

TOP = 3
"""Among so many first suspicions the cause should be."""


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`."""

    count: int
    total: int

    def __str__(self) -> str:
        return f"{self.count} of {self.total} ({self.count / self.total:.0%})" if self.total else "none of 0"


@dataclass(frozen=True, slots=True)
class Score:
    """How good the answers about a set of trainings are.

    Attributes:
        noticed: broken ones where some alarm names the cause or a symptom of it.
        first, among_first: broken ones where the first alarm, or one of the first three, names the cause.
        kinds: mean over the kinds of faults of the share with the cause first.
        constant: broken ones that always naming one and the same check would get right, and that check.
        alarms: sound ones with an alarm, by role and severity.
        failures: trainings without an answer, or with a check that failed itself.
        seconds: median and largest.
    """

    noticed: Share
    first: Share
    among_first: Share
    kinds: float
    constant: Share
    constant_check: str
    alarms: Mapping[tuple[str, str], Share]
    failures: Share
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CheckScore:
    """What one check did.

    Attributes:
        right: broken trainings whose cause it names.
        beside: broken trainings where it names a symptom.
        wrong: broken trainings where it names neither.
        missed: broken trainings whose cause it could have named, and neither it nor another check did.
        false: alarms on sound trainings, of those where it looked.
    """

    check: str
    right: int
    beside: int
    wrong: int
    missed: int
    false: Share

    @property
    def alarms(self) -> int:
        """How often it raised an alarm."""
        return self.right + self.beside + self.wrong + self.false.count


def noticed(task: Task, answer: Answer) -> bool:
    """Whether some alarm names the cause or a symptom of it."""
    return any(check in task.causes | task.symptoms for check in answer.checks)


def names_cause(task: Task, answer: Answer, *, within: int = 1) -> bool:
    """Whether one of the first `within` alarms names the cause."""
    return any(check in task.causes for check in answer.checks[:within])


def score(outcomes: Sequence[Outcome]) -> Score:
    """All figures of a set of answers."""
    broken = [outcome for outcome in outcomes if outcome[0].role == "broken"]
    check, hits = _constant(task for task, _ in broken)
    times = [answer.seconds for _, answer in outcomes if answer.failure is None] or [0.0]
    return Score(
        noticed=_share(noticed(*outcome) for outcome in broken),
        first=_share(names_cause(*outcome) for outcome in broken),
        among_first=_share(names_cause(*outcome, within=TOP) for outcome in broken),
        kinds=_mean_over_kinds(broken),
        constant=Share(hits, len(broken)),
        constant_check=check,
        alarms={
            (role, severity): _share(
                any(found == severity for _, found in answer.findings) for task, answer in outcomes if task.role == role
            )
            for role in ("repaired", "healthy")
            for severity in ("error", "warning")
        },
        failures=_share(answer.failure is not None for _, answer in outcomes),
        seconds=(statistics.median(times), max(times)),
    )


def check_scores(outcomes: Sequence[Outcome]) -> list[CheckScore]:
    """What each check did that raised an alarm, should have, or could not look somewhere, by name."""
    broken = [outcome for outcome in outcomes if outcome[0].role == "broken"]
    sound = [answer for task, answer in outcomes if task.role != "broken"]
    names = {check for _, answer in outcomes for check in (*answer.checks, *answer.unlooked)}
    names |= {check for task, _ in broken for check in task.causes}
    return [
        CheckScore(
            check=name,
            right=sum(name in answer.checks and name in task.causes for task, answer in broken),
            beside=sum(name in answer.checks and name in task.symptoms - task.causes for task, answer in broken),
            wrong=sum(name in answer.checks and name not in task.causes | task.symptoms for task, answer in broken),
            missed=sum(name in task.causes and task.causes.isdisjoint(answer.checks) for task, answer in broken),
            false=_share(name in answer.checks for answer in sound if name not in answer.unlooked),
        )
        for name in sorted(names)
    ]


def verdict(task: Task, answer: Answer) -> str:
    """One answer in a few words, for lists."""
    if answer.failure is not None:
        return f"no answer: {answer.failure}"
    said = ", ".join(f"{check}{'!' if severity == 'error' else ''}" for check, severity in answer.findings) or "nothing"
    if task.role != "broken":
        return f"{'FALSE ALARM' if answer.findings else 'quiet'}: {said}"
    if names_cause(task, answer):
        return f"cause first: {said}"
    if names_cause(task, answer, within=TOP):
        return f"cause among the first {TOP}: {said}"
    wanted = " or ".join(sorted(task.causes))
    return f"{'noticed, cause not named' if noticed(task, answer) else 'MISSED'}: {said} (wanted {wanted})"


def _constant(tasks: Iterable[Task]) -> tuple[str, int]:
    votes = Counter(check for task in tasks for check in sorted(task.causes))
    return min(votes.items(), key=lambda vote: (-vote[1], vote[0])) if votes else ("", 0)


def _mean_over_kinds(broken: Sequence[Outcome]) -> float:
    by_kind: dict[str, list[bool]] = {}
    for task, answer in broken:
        by_kind.setdefault(task.kind, []).append(names_cause(task, answer))
    return statistics.fmean(statistics.fmean(hits) for hits in by_kind.values()) if by_kind else 0.0


def _share(hits: Iterable[bool]) -> Share:
    found = list(hits)
    return Share(sum(found), len(found))
