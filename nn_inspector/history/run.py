"""The history of one training."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nn_inspector.history.export import write_csv, write_tensorboard
from nn_inspector.history.facts import Facts
from nn_inspector.history.finding import Finding
from nn_inspector.history.memory import MemoryTable
from nn_inspector.history.nonfinite import Nonfinite, NonfiniteFinder
from nn_inspector.history.series import Series
from nn_inspector.history.series_table import SeriesTable
from nn_inspector.history.writer import RunWriter
from nn_inspector.probes import Epoch, Measured, TraceEntry
from nn_inspector.views import open_view

MOST_NOTES = 1000
"""So many latest notes are kept."""


class Run:
    """Everything measured during one training: in bounded memory, and in a file if there is one.

    One thread writes and any thread may read.

    Attributes:
        name: name of the run.
        path: its file, or None if it is only in memory.
        parameters: what the training consists of: model, optimizers, loss, loaders (see `Training.describe`).
        steps: how many optimizer steps were recorded.
        findings: the latest finding of each check.
        trace: the calls the loop made in its first steps.
        motivation: why this training was made, in the user's words.
        metadata: where it was made: versions, random seed, time, git commit, cells of the notebook; and what was done to it
            meanwhile ("notes", see `note`).
    """

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        self._facts = Facts(name, parameters)
        self._memory = MemoryTable()
        self._nonfinite = NonfiniteFinder()
        self._writer: RunWriter | None = None
        _runs.add(self)

    def __repr__(self) -> str:
        return f"<Run {self.name!r}: {self.steps} steps, {self.path or 'in memory'}>"

    # facts

    @property
    def name(self) -> str:
        return self._known().name

    @property
    def path(self) -> Path | None:
        return self._writer.path if self._writer is not None and not self._writer.removed else None

    @property
    def parameters(self) -> dict[str, Any]:
        return self._known().parameters

    @parameters.setter
    def parameters(self, parameters: Mapping[str, Any]) -> None:
        self._facts.parameters = dict(parameters)

    @property
    def steps(self) -> int:
        return self._known().steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._facts.steps = steps

    @property
    def trace(self) -> deque[TraceEntry]:
        return self._known().trace

    @property
    def motivation(self) -> str:
        return self._known().motivation

    @motivation.setter
    def motivation(self, text: str) -> None:
        self._facts.motivation = text
        self._changed()

    @property
    def metadata(self) -> dict[str, Any]:
        return self._known().metadata

    @metadata.setter
    def metadata(self, metadata: Mapping[str, Any]) -> None:
        self._facts.metadata = dict(metadata)
        self._changed()

    def note(self, what: str) -> None:
        """Remember something that was done to the training from outside, such as a new learning rate, with its step."""
        notes = [*self.metadata.get("notes", ()), {"step": self.steps, "what": what}]
        self.metadata = {**self.metadata, "notes": notes[-MOST_NOTES:]}

    def add_finding(self, finding: Finding) -> None:
        """Take the place of what this check found before."""
        self._facts.add_finding(finding)
        self._changed()

    @property
    def findings(self) -> list[Finding]:
        return list(self._known().findings.values())

    def finding(self, check: str) -> Finding | None:
        """The latest finding of this check."""
        return self._known().findings.get(check)

    def raised_at(self, check: str) -> int | None:
        """The step to look at for what a check has raised: the one that its evidence names, or else when it was first raised.

        Example:
            >>> run = Run("demo", {})
            >>> run.steps = 100
            >>> run.add_finding(Finding("divergence", "error", "The loss grew."))
            >>> run.raised_at("divergence"), run.raised_at("shuffling")
            (99, None)
        """
        finding = self.finding(check)
        if finding is None or not finding.raised:
            return None
        named = finding.evidence.get("step")
        if isinstance(named, int | float) and 0 <= named < self.steps:
            return int(named)
        return self._known().raised.get(check)

    @property
    def nonfinite(self) -> Nonfinite | None:
        """The first NaN or Inf among what was recorded here, and where it came from; None if there was none."""
        return self._known().nonfinite

    def add_epoch(self, epoch: Epoch) -> None:
        """A loader began a new pass; the first two and the latest of each loader are kept."""
        self._facts.add_epoch(epoch)

    def epochs(self, loader: str) -> list[Epoch]:
        """The passes over the loader "train" or "validation" that are kept, in order."""
        epochs = self._known().epochs(loader)
        for epoch in epochs:
            epoch.settle()
        return epochs

    # series

    @property
    def begun_anew(self) -> list[str]:
        """Which series lack what came before their values had another length, as "quantity of source"."""
        return self._memory.begun_anew()

    def record(self, measurements: Iterable[Measured]) -> None:
        """Add measurements and tables of them, each at or after the step of the one before it in its series."""
        measurements = list(measurements)
        self._memory.record(measurements)
        self._nonfinite.add(measurements)
        self._facts.nonfinite = self._nonfinite.answer
        if self._writer is not None:
            self._writer.put(measurements)

    def quantities(self) -> list[str]:
        """What was measured so far."""
        return list(dict.fromkeys(quantity for quantity, _ in self._table().names()))

    def sources(self, quantity: str) -> list[str]:
        """Of what `quantity` was measured, in the order of its first measurement."""
        return [source for known, source in self._table().names() if known == quantity]

    def series(self, quantity: str, source: str) -> Series:
        """One quantity over time; empty if it was never measured.

        Example:
            >>> run = Run("demo", {})
            >>> from nn_inspector.probes import Measurement
            >>> run.record([Measurement(0, "loss", "train", 2.3), Measurement(1, "loss", "train", 2.1)])
            >>> run.series("loss", "train").values
            array([2.3, 2.1])
        """
        return self._table().series(quantity, source)

    def last(self, quantity: str, source: str) -> float | None:
        """The latest value of a scalar quantity."""
        value = self._table().last(quantity, source)
        return float(value) if value is not None else None

    def last_vector(self, quantity: str, source: str) -> np.ndarray | None:
        """The latest value of a quantity that is a vector, such as a histogram."""
        return self._table().last(quantity, source)

    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        """What was known at a step: (quantity, source) -> the value measured then, or the latest before."""
        return self._table().at(step)

    # views

    @property
    def is_followed(self) -> bool:
        """Whether steps that are made meanwhile are seen: not of a file that was opened as it is."""
        return True

    def dashboard(self, *, compare: Any = None, panels: Sequence[str] | None = None) -> Any:
        """All panels of this run, as a widget: at any of its steps, with what was found. No training is needed for it.

        Args:
            compare: another run, an inspector, or the name or path of a run file, or up to three of them, to be drawn behind; see `Inspector.dashboard`.
            panels: names of those to show first, as there.

        A run that is written by another process is followed with `open_run(path, follow=True)`; “Read again” brings its news.

        Example:
            >>> view = Run("demo", {}).dashboard()
            >>> type(view).__name__
            'RunDashboard'
        """
        return open_view("run_dashboard", self, compare=compare, panels=panels)

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write what is known of this run into one HTML file that needs no network: findings, pictures, parameters.

        Args:
            path: where to; an older report there is replaced.

        Returns:
            The path.

        Raises:
            ArgumentError: `path` is no path, or its folder does not exist.
        """
        written: Path = open_view("report", self, path)
        return written

    # the file

    def write_to(self, path: Path, report: Callable[[str], None]) -> None:
        """From now on write the run to a file as well, in a thread of its own.

        Args:
            path: the file; where it exists already, the next free name with a number is taken.
            report: called, from any thread, with what went wrong if the file cannot be written any longer. The run goes
                on in memory then.

        Raises:
            OSError: the file cannot be made.
        """
        self._writer = RunWriter(path, self._facts, report)
        weakref.finalize(self, self._writer.end_soon).atexit = False
        self._facts.name = self._writer.path.stem

    def close(self) -> None:
        """Bring the file up to date and let go of it. What was measured stays readable."""
        if self._writer is not None:
            self._writer.close()

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all numbers to a CSV file: step, quantity, source, value, low, high, count.

        An opened run writes each value that was recorded; a run in memory what it still has: older values are buckets with
        their mean, least and greatest value. Vectors are numbers with spaces between. A name that a spreadsheet would
        take for a formula gets an apostrophe in front.

        Raises:
            OSError: the file cannot be written.
        """
        write_csv(Path(path), self._table())

    def to_tensorboard(self, folder: str | os.PathLike[str]) -> None:
        """Write all numbers as TensorBoard event files; vectors are left out.

        Raises:
            InspectorError: TensorBoard is not installed.
            OSError: the folder cannot be written.
        """
        write_tensorboard(Path(folder), self._table())

    def _known(self) -> Facts:
        return self._facts

    def _table(self) -> SeriesTable:
        return self._memory

    def _changed(self) -> None:
        if self._writer is not None:
            self._writer.touch()

    def _forked(self) -> None:
        """This is a child process now: the file belongs to the parent, this process goes on in memory."""
        self._writer = None
        self._memory.forked()


_runs: weakref.WeakSet[Run] = weakref.WeakSet()


def _in_child() -> None:
    for run in list(_runs):
        run._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
