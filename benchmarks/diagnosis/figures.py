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
class Figures:
    """What was measured once, of all trainings of the suite.

    Attributes:
        made: by which versions, on what.
        table: the summary, as Markdown.
        checks: what each check did, over both parts of the suite.
        sound: how many sound trainings there were, repaired twins included.
        broken: how many broken ones.
        beside: the summary of this project and others on those kept apart, as Markdown; empty if they were not asked.
    """

    made: str
    table: str
    checks: Mapping[str, CheckScore] = field(default_factory=dict)
    sound: int = 0
    broken: int = 0
    beside: str = ""

    @property
    def command(self) -> str:
        """What has measured this."""
        return f"python -m benchmarks.diagnosis --docs{' --peers' if self.beside else ''}"

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], beside: str = "") -> Figures:
        """The figures of these answers."""
        parts = {part: [outcome for outcome in outcomes if outcome[0].part == part] for part in PARTS}
        broken = sum(task.role == "broken" for task, _ in outcomes)
        return cls(
            made=f"nn_inspector {nn_inspector.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
            table=summary({TITLES[part]: score(found) for part, found in parts.items() if found}),
            checks={entry.check: entry for entry in check_scores(outcomes)},
            sound=len(outcomes) - broken,
            broken=broken,
            beside=beside,
        )

    @classmethod
    def read(cls, path: Path) -> Figures:
        """The figures in a file."""
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        checks = {
            name: CheckScore(**{**entry, "false": Share(**entry["false"])}) for name, entry in held["checks"].items()
        }
        return cls(**{**held, "checks": checks})

    def write(self, path: Path) -> None:
        """Keep the figures in a file."""
        path.write_text(f"{json.dumps(asdict(self), indent=1, sort_keys=True)}\n", encoding="utf-8")
