"""All that is known of a run besides its series."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from nn_inspector.history.finding import Finding
from nn_inspector.history.nonfinite import Nonfinite
from nn_inspector.probes import Epoch, TraceEntry

TRACE_LIMIT = 6000
"""So many latest calls of the loop are kept; only those of the first steps are noted at all."""

FIRST_EPOCHS = 2
LATE_EPOCHS = 64
"""So many first and latest passes over each loader are kept."""


class Facts:
    """What a run knows besides its series.

    The writer's thread holds this and not the run, so that a run nobody needs any more can be collected.

    Attributes:
        name, parameters, steps, trace, motivation, metadata: see `Run`.
        findings: by the check's name.
        raised: check -> the step at which what it raises now was first raised.
        nonfinite: the first NaN or Inf, or None.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        self.name = name
        self.parameters = dict(parameters)
        self.steps = 0
        self.motivation = ""
        self.metadata: dict[str, Any] = {}
        self.trace: deque[TraceEntry] = deque(maxlen=TRACE_LIMIT)
        self.findings: dict[str, Finding] = {}
        self.raised: dict[str, int] = {}
        self.nonfinite: Nonfinite | None = None
        self._first: dict[str, list[Epoch]] = {}
        self._late: dict[str, deque[Epoch]] = {}

    def add_finding(self, finding: Finding) -> None:
        """Take the place of what this check found before."""
        self.findings[finding.check] = finding
        if finding.raised:
            self.raised = {finding.check: max(self.steps - 1, 0)} | self.raised
        else:
            self.raised = {check: step for check, step in self.raised.items() if check != finding.check}

    def add_epoch(self, epoch: Epoch) -> None:
        """A loader began a new pass."""
        first = self._first.setdefault(epoch.loader, [])
        if len(first) < FIRST_EPOCHS:
            first.append(epoch)
        else:
            self._late.setdefault(epoch.loader, deque(maxlen=LATE_EPOCHS)).append(epoch)

    def set_epochs(self, epochs: Iterable[Epoch]) -> None:
        """Take the place of all passes known so far; those of each loader come in their order."""
        self._first, self._late = {}, {}
        for epoch in epochs:
            self.add_epoch(epoch)

    def epochs(self, loader: str) -> list[Epoch]:
        """The passes over a loader that are kept, in order."""
        return [*self._first.get(loader, ()), *self._late.get(loader, ())]

    def loaders(self) -> list[str]:
        """The loaders that were passed over."""
        return list(self._first)
