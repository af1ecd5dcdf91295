"""A run as it was at an earlier step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from nn_inspector.errors import InspectorError
from nn_inspector.history.facts import Facts
from nn_inspector.history.run import Run
from nn_inspector.history.series import Series
from nn_inspector.history.series_table import SeriesTable
from nn_inspector.probes import Measured


class EarlierRun(Run):
    """What was known of a run when a step was complete: its later values are left out. Made by `earlier`."""

    def __init__(self, run: Run, step: int) -> None:
        super().__init__(run.name, run.parameters)
        self._whole = run
        self._facts.steps = min(step + 1, run.steps)
        self._facts.trace = run.trace
        self._facts.findings = {finding.check: finding for finding in run.findings}
        self._facts.raised = dict(run._known().raised)
        nonfinite = run.nonfinite
        self._facts.nonfinite = nonfinite if nonfinite is not None and nonfinite.step <= step else None
        for loader in ("train", "validation"):
            for epoch in run.epochs(loader):
                if epoch.first_step <= step:
                    self._facts.add_epoch(epoch)
        self._cut = _CutTable(run._table(), step)

    @property
    def path(self) -> Path | None:
        return self._whole.path

    def record(self, measurements: Iterable[Measured]) -> None:
        raise InspectorError("This is a run as it was at an earlier step: nothing can be recorded into it.")

    def _known(self) -> Facts:
        return self._facts

    def _table(self) -> SeriesTable:
        return self._cut


def earlier(run: Run, step: int) -> Run:
    """A run as it was when `step` was complete, to be read like any other; its findings are those of now.

    Args:
        run: whose history.
        step: from 0 to its last one.

    Example:
        >>> run = Run("demo", {})
        >>> from nn_inspector.probes import Measurement
        >>> run.record([Measurement(step, "loss", "train", 2.0 - step) for step in range(2)])
        >>> earlier(run, 0).series("loss", "train").values
        array([2.])
    """
    return EarlierRun(run, step)


class _CutTable:
    """The series of a run up to a step; of a bucket that holds this step and later ones nothing is shown."""

    def __init__(self, table: SeriesTable, step: int) -> None:
        self._table = table
        self._step = step
        self._last = table.at(step)

    def names(self) -> list[tuple[str, str]]:
        return [name for name in self._table.names() if name in self._last]

    def series(self, quantity: str, source: str) -> Series:
        found = self._until(self._table.series(quantity, source))
        value = self._last.get((quantity, source))
        if len(found) or value is None:
            return found
        return Series.exact(np.array([self._step]), np.asarray(value, dtype=np.float64)[None])

    def everything(self, quantity: str, source: str) -> Iterator[Series]:
        for part in self._table.everything(quantity, source):
            yield self._until(part)

    def last(self, quantity: str, source: str) -> np.ndarray | None:
        return self._last.get((quantity, source))

    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        return self._table.at(min(step, self._step))

    def _until(self, series: Series) -> Series:
        return series[: int(np.searchsorted(series.steps, self._step, side="right"))]
