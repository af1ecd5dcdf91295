"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from benchmarks.diagnosis.counting import TOP, CheckScore, Score


def summary(scores: Mapping[str, Score], *, timed: bool = True) -> str:
    """One column for each watcher or part, one row for each figure.

    Args:
        scores: by the title of their column.
        timed: with the time that an answer takes. Others look while the training runs, so that theirs is no measure.
    """
    rows = [
        ("noticed", [str(score.noticed) for score in scores.values()]),
        ("cause first", [str(score.first) for score in scores.values()]),
        (f"cause among the first {TOP}", [str(score.among_first) for score in scores.values()]),
        ("cause first, mean over kinds of fault", [f"{score.kinds:.0%}" for score in scores.values()]),
        ("a constant answer", [f"{score.constant}: {score.constant_check}" for score in scores.values()]),
        *(
            (f"{severity} on {role}", [str(score.alarms[role, severity]) for score in scores.values()])
            for role in ("repaired", "healthy")
            for severity in ("error", "warning")
        ),
        ("without an answer", [str(score.failures) for score in scores.values()]),
    ]
    if timed:
        seconds = [f"{score.seconds[0]:.2f}, {score.seconds[1]:.1f}" for score in scores.values()]
        rows.append(("seconds of processor time: median, largest", seconds))
    return table(["", *scores], [[name, *cells] for name, cells in rows])


def by_check(scores: Sequence[CheckScore]) -> str:
    """One row for each check that raised an alarm or should have."""
    header = ["check", "cause named", "not named", "symptom named", "wrong on broken", "false on sound"]
    rows = [
        [entry.check, str(entry.right), str(entry.missed), str(entry.beside), str(entry.wrong), str(entry.false)]
        for entry in scores
        if entry.alarms or entry.missed
    ]
    return table(header, rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, aligned: Literal["left", "right"] = "right") -> str:
    """A table in Markdown; the first column holds names, and `aligned` says where the others stand."""
    alignment = ["---", *["---:" if aligned == "right" else "---"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, alignment, *rows))
