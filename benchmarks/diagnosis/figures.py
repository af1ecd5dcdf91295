"""The figures that the documentation prints: kept in a file, so that pages can be written again without measuring again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import nn_inspector
from benchmarks.diagnosis.counting import CheckScore, Outcome, Share, check_scores, score
from benchmarks.diagnosis.table import summary
from benchmarks.diagnosis.tasks import PARTS, Part

TITLES: Mapping[Part, str] = {"set": "Thresholds were set on these", "held-out": "Kept apart"}
"""What the parts of the suite are called in tables."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a part of the suite.

    Attributes:
        checks: what each check did.
        sound: how many sound trainings there were, repaired twins included.
        broken: how many broken ones.
    """

    checks: Mapping[str, CheckScore]
    sound: int
    broken: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Measured:
        """What these answers show."""
        broken = sum(task.role == "broken" for task, _ in outcomes)
        return cls({entry.check: entry for entry in check_scores(outcomes)}, len(outcomes) - broken, broken)

    def check(self, name: str) -> CheckScore:
        """What a check did, or that it looked at all and found nothing."""
        return self.checks.get(name, CheckScore(name, 0, 0, 0, 0, Share(0, self.sound)))


@dataclass(frozen=True)
class Figures:
    """What was measured once, of all trainings of the suite.

    Attributes:
        made: by which versions, on what.
        table: the summary, as Markdown.
        parts: what was measured of each part, by its title.
        beside: the summary of this project and others on those kept apart, as Markdown; empty if they were not asked.
    """

    made: str
    table: str
    parts: Mapping[str, Measured] = field(default_factory=dict)
    beside: str = ""

    @property
    def command(self) -> str:
        """What has measured this."""
        return f"python -m benchmarks.diagnosis --docs{' --peers' if self.beside else ''}"

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], beside: str = "") -> Figures:
        """The figures of these answers."""
        by_part = {TITLES[part]: [outcome for outcome in outcomes if outcome[0].part == part] for part in PARTS}
        present = {title: found for title, found in by_part.items() if found}
        return cls(
            made=f"nn_inspector {nn_inspector.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
            table=summary({title: score(found) for title, found in present.items()}),
            parts={title: Measured.of(found) for title, found in present.items()},
            beside=beside,
        )

    @classmethod
    def read(cls, path: Path) -> Figures:
        """The figures in a file."""
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**held, "parts": {title: _measured(part) for title, part in held["parts"].items()}})

    def write(self, path: Path) -> None:
        """Keep the figures in a file."""
        path.write_text(f"{json.dumps(asdict(self), indent=1)}\n", encoding="utf-8")


def _measured(held: dict[str, Any]) -> Measured:
    checks = {name: CheckScore(**{**one, "false": Share(**one["false"])}) for name, one in held["checks"].items()}
    return Measured(**{**held, "checks": checks})
