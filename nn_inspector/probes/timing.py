"""How long a step takes, and how much of that is waiting for data."""

from __future__ import annotations

import time
from collections.abc import Callable

from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder


class TimeProbe(StepReader):
    """Measures the time from step to step without what is ours, and what is ours, as the mean since the last measured step.

    A step that includes a pause, such as the time between two cells of a notebook, is left out.

    Args:
        recorder: takes the measurements.
        waited: seconds spent waiting for the training loader so far, or None if none is watched.
    """

    name = "time"
    every_step = True

    def __init__(self, recorder: Recorder, waited: Callable[[], float] | None) -> None:
        super().__init__(recorder)
        self._waited = waited
        self._last: tuple[float, float, float] | None = None
        self._steps = 0
        self._seconds = 0.0
        self._data = 0.0
        self._own = 0.0

    def pause(self) -> None:
        """The loop has ended, for now: the time until the next step is not a step's."""
        self._last = None

    def after_step(self, optimizer_index: int) -> None:
        now, own = time.perf_counter(), self.recorder.schedule.spent
        waited = self._waited() if self._waited is not None else 0.0
        if self._last is not None:
            self._steps += 1
            self._seconds += (now - self._last[0]) - (own - self._last[1])
            self._own += own - self._last[1]
            self._data += waited - self._last[2]
        self._last = (now, own, waited)
        if self.recorder.due and self._steps:
            self.recorder.record("step_seconds", "train", self._seconds / self._steps)
            self.recorder.record("own_seconds", "train", self._own / self._steps)
            if self._waited is not None:
                self.recorder.record("data_seconds", "train", self._data / self._steps)
            self._steps, self._seconds, self._data, self._own = 0, 0.0, 0.0, 0.0
