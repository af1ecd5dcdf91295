"""Gathers what the probes measure during a step and hands it on in few, late copies."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from nn_inspector.probes.measurement import Fact, Measurement, Tag, TraceEntry
from nn_inspector.probes.schedule import Schedule
from nn_inspector.probes.transfer import Transfer

Phase = Literal["train", "validation"]
Read = Callable[[np.ndarray], Iterable[Measurement]]

TRACED_STEPS = 20
"""So many first steps have their calls noted one by one."""

_FLUSH_AFTER = 0.2
"""Seconds after which queued numbers are copied to the host even if no step was measured in full."""

_QUEUE_LIMIT = 256


class Recorder:
    """The meeting point of the probes of one training.

    Attributes:
        step: optimizer steps complete so far.
        due: whether this step is measured in full. What is cheap is measured at every step.
        phase: what the forward pass that runs now is for.
        suspended: while True, nothing is measured; experiments run in this state.
    """

    def __init__(
        self,
        schedule: Schedule,
        sink: Callable[[list[Measurement]], None],
        trace: Callable[[TraceEntry], None],
    ) -> None:
        self.schedule = schedule
        self.step = 0
        self.due = True
        self.phase: Phase = "train"
        self.suspended = False
        self._sink = sink
        self._trace = trace
        self._queue: list[tuple[torch.Tensor, Read]] = []
        self._ready: list[Measurement] = []
        self._transfers: deque[tuple[Transfer, list[tuple[int, Read]]]] = deque()
        self._last_flush = time.monotonic()

    @property
    def tracing(self) -> bool:
        """Whether the calls of the loop are still noted."""
        return self.step < TRACED_STEPS

    def record(self, quantity: str, source: str, value: float, **tags: Tag) -> None:
        """Take a number that is on the host already."""
        self._ready.append(Measurement(self.step, quantity, source, value, tags))

    def record_scalar(self, quantity: str, source: str, value: torch.Tensor | float) -> None:
        """Take one number, wherever it is."""
        if isinstance(value, torch.Tensor):
            self.put_scalars(quantity, [source], [value])
        else:
            self.record(quantity, source, value)

    def put(self, values: torch.Tensor, read: Read) -> None:
        """Queue numbers that are still on a device; `read` makes measurements of them once they have arrived."""
        self._queue.append((values.detach().reshape(-1), read))

    def put_scalars(self, quantity: str, sources: Sequence[str], values: Sequence[torch.Tensor], **tags: Tag) -> None:
        """Queue one number for each source; all `values` are on one device."""
        if not sources:
            return
        step = self.step

        def read(numbers: np.ndarray) -> Iterator[Measurement]:
            for source, number in zip(sources, numbers, strict=True):
                yield Measurement(step, quantity, source, float(number), tags)

        self.put(torch.stack([value.detach() for value in values]).to(torch.float32), read)

    def trace(self, call: str, **facts: Fact) -> None:
        """Note a call of the loop; ask `tracing` first, so that later steps do not even collect the facts."""
        self._trace(TraceEntry(self.step, call, facts))

    def end_step(self) -> None:
        """An optimizer step is complete: decide about the next one, and hand on what has gathered."""
        due, self.step = self.due, self.step + 1
        late = time.monotonic() - self._last_flush > _FLUSH_AFTER
        if due or late or len(self._queue) + len(self._ready) > _QUEUE_LIMIT:
            self.flush(wait=False)
        self.due = self.schedule.end_step(self.step, due)

    def flush(self, *, wait: bool = True) -> None:
        """Send queued numbers to the host, and hand on those that have arrived (all of them if `wait`)."""
        self._last_flush = time.monotonic()
        queue, self._queue = self._queue, []
        for device in {values.device for values, _ in queue}:
            here = [(values.to(torch.float32), read) for values, read in queue if values.device == device]
            packed = torch.cat([values for values, _ in here])
            self._transfers.append((Transfer(packed), [(values.numel(), read) for values, read in here]))
        measurements, self._ready = self._ready, []
        while self._transfers and (wait or self._transfers[0][0].ready):
            transfer, parts = self._transfers.popleft()
            numbers, start = transfer.numbers(), 0
            for size, read in parts:
                measurements.extend(read(numbers[start : start + size]))
                start += size
        if measurements:
            self._sink(measurements)

    @contextlib.contextmanager
    def suspend(self) -> Iterator[None]:
        """Measure nothing inside the `with` block: what runs there is not the user's training."""
        before, self.suspended = self.suspended, True
        try:
            yield
        finally:
            self.suspended = before
