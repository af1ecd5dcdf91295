"""Where somebody stands in the checklist."""

from __future__ import annotations

from dataclasses import dataclass, field

from nn_inspector.checks import CheckInfo, Stage, catalog
from nn_inspector.history import Finding


@dataclass(slots=True)
class Progress:
    """The steps of the wizard, in order, which one is open, and what was found.

    Attributes:
        steps: the rows of the catalogue.
        position: index of the open step.
        findings: what the steps made so far found, by name.
    """

    steps: list[CheckInfo] = field(default_factory=catalog)
    position: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        """The stages that have steps, in order."""
        return list(dict.fromkeys(step.stage for step in self.steps))

    @property
    def step(self) -> CheckInfo:
        """The open step."""
        return self.steps[self.position]

    @property
    def finding(self) -> Finding | None:
        """What the open step found, or None if it was not made."""
        return self.findings.get(self.step.name)

    @property
    def is_first(self) -> bool:
        return self.position == 0

    @property
    def is_last(self) -> bool:
        return self.position == len(self.steps) - 1

    def go(self, position: int) -> None:
        """Open a step; beyond the ends, the nearest one."""
        self.position = min(max(position, 0), len(self.steps) - 1)

    def record(self, finding: Finding) -> None:
        """Note what a step found."""
        self.findings[finding.check] = finding

    def summary(self) -> str:
        """How far it went, in one sentence.

        Example:
            >>> Progress(steps=catalog()[:5]).summary()
            '0 of 5 steps made.'
        """
        raised = [finding.check for finding in self.findings.values() if finding.raised]
        made = f"{len(self.findings)} of {len(self.steps)} steps made."
        return f"{made} To repair: {', '.join(raised)}." if raised else made
