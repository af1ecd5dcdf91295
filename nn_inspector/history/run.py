"""The history of one training."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nn_inspector.history.finding import Finding
from nn_inspector.history.series import Series, SeriesStore
from nn_inspector.probes import Epoch, Measurement, TraceEntry

_TRACE_LIMIT = 2000
_EPOCHS_KEPT = 64


class Run:
    """Everything measured during one training, in bounded memory.

    One thread writes and any thread may read.

    Attributes:
        name: name of the run.
        parameters: what the training consists of: model, optimizers, loss, loaders (see `Training.describe`).
        steps: how many optimizer steps were recorded.
        findings: the latest finding of each check.
        trace: the calls the loop made in its first steps.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        self.name = name
        self.parameters = dict(parameters)
        self.steps = 0
        self.trace: deque[TraceEntry] = deque(maxlen=_TRACE_LIMIT)
        self._findings: dict[str, Finding] = {}
        self._series: dict[tuple[str, str], SeriesStore] = {}
        self._first_epochs: dict[str, list[Epoch]] = {}
        self._late_epochs: dict[str, deque[Epoch]] = {}
        self._lock = threading.Lock()

    def record(self, measurements: Iterable[Measurement]) -> None:
        """Add measurements, each at or after the step of the one before it in its series."""
        with self._lock:
            for measured in measurements:
                key = (measured.quantity, measured.source)
                if key not in self._series:
                    self._series[key] = SeriesStore()
                self._series[key].append(measured.step, measured.value)

    def add_finding(self, finding: Finding) -> None:
        """Take the place of what this check found before."""
        self._findings[finding.check] = finding

    @property
    def findings(self) -> list[Finding]:
        return list(self._findings.values())

    def finding(self, check: str) -> Finding | None:
        """The latest finding of this check."""
        return self._findings.get(check)

    def add_epoch(self, epoch: Epoch) -> None:
        """A loader began a new pass; the first two and the latest of each loader are kept."""
        first = self._first_epochs.setdefault(epoch.loader, [])
        if len(first) < 2:
            first.append(epoch)
        else:
            self._late_epochs.setdefault(epoch.loader, deque(maxlen=_EPOCHS_KEPT)).append(epoch)

    def epochs(self, loader: str) -> list[Epoch]:
        """The passes over the loader "train" or "validation" that are kept, in order."""
        return [*self._first_epochs.get(loader, ()), *self._late_epochs.get(loader, ())]

    def quantities(self) -> list[str]:
        """What was measured so far."""
        with self._lock:
            return list(dict.fromkeys(quantity for quantity, _ in self._series))

    def sources(self, quantity: str) -> list[str]:
        """Of what `quantity` was measured, in the order of its first measurement."""
        with self._lock:
            return [source for known, source in self._series if known == quantity]

    def series(self, quantity: str, source: str) -> Series:
        """One quantity over time; empty if it was never measured.

        Example:
            >>> run = Run("demo", {})
            >>> run.record([Measurement(0, "loss", "train", 2.3), Measurement(1, "loss", "train", 2.1)])
            >>> run.series("loss", "train").values
            array([2.3, 2.1])
        """
        with self._lock:
            store = self._series.get((quantity, source))
            return (store or SeriesStore()).view()

    def last(self, quantity: str, source: str) -> float | None:
        """The latest value of a scalar quantity."""
        with self._lock:
            store = self._series.get((quantity, source))
            point = store.last() if store else None
        return float(point[1]) if point is not None else None

    def last_vector(self, quantity: str, source: str) -> np.ndarray | None:
        """The latest value of a quantity that is a vector, such as a histogram."""
        with self._lock:
            store = self._series.get((quantity, source))
            point = store.last() if store else None
        return point[1] if point is not None else None

    def at(self, step: int) -> dict[tuple[str, str], np.ndarray]:
        """What was known at a step: (quantity, source) -> the value measured then, or the latest before."""
        with self._lock:
            found = {key: store.at(step) for key, store in self._series.items()}
        return {key: value for key, value in found.items() if value is not None}
