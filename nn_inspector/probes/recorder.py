"""Gathers what the probes measure during a step and hands it on in few, late copies."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch

from nn_inspector.probes.measurement import Fact, Measured, Measurement, MeasurementTable, Tag, TraceEntry
from nn_inspector.probes.merging import AVERAGED, Merged, Merger, Part, Read
from nn_inspector.probes.queued import Pack, Queued
from nn_inspector.probes.ranks import Ranks
from nn_inspector.probes.rounds import Rounds
from nn_inspector.probes.schedule import DENSE_STEPS, Schedule
from nn_inspector.probes.training_thread import TrainingThread
from nn_inspector.probes.transfer import Transfer

Phase = Literal["train", "validation"]

TRACED_STEPS = 20
"""So many first steps have their calls noted one by one."""

_TRACED_CALLS = 600
_TRACED_CALLS_OF_VALIDATION = 40
"""Of one step so many are noted."""

_FLUSH_AFTER = 0.2
"""Seconds after which queued numbers are copied to the host even if no step was measured in full."""

_SEND_AFTER = 0.25
"""Seconds after which several processes exchange what they have even if no step was measured in full."""

_MOST_TO_SEND = 1000
"""Steps of which no more than what is measured at each waits to be exchanged."""

_QUEUE_LIMIT = 256

_SEARCH = 20
"""A gradient scaler halves its scale so many times, from 2^16 to far below 1, before its search is none any more."""

_ONE = np.ones(1)


def with_count(numbers: np.ndarray) -> np.ndarray:
    """A way to pack numbers whose mean over processes is wanted: behind them stands how many were added up."""
    return np.concatenate([numbers, _ONE])


class Recorder:
    """The meeting point of the probes of one training.

    Attributes:
        step: optimizer steps complete so far.
        due: whether this step is measured in full. What is cheap is measured at every step.
        phase: what the forward pass that runs now is for.
        suspended: while True, nothing is measured; experiments run in this state.
        skipped: not 0 if the optimizer is told to skip its step (by a gradient scaler that met NaN or Inf); None outside of
            steps that are told so.
        with_closure: whether the optimizer computes its gradient within the step that is under way.
        thread: the one that trains; what happens in others is not measured.
        ranks: the other processes of this training, if there are any.
        on_loss: called with the step and the training loss of this process, as soon as that is on the host: on a device it
            arrives some steps later.
    """

    def __init__(
        self,
        schedule: Schedule,
        sink: Callable[[list[Measured]], None],
        trace: Callable[[TraceEntry], None],
    ) -> None:
        self.schedule = schedule
        self.step = 0
        self.due = True
        self.phase: Phase = "train"
        self.suspended = False
        self.skipped: torch.Tensor | None = None
        self.with_closure = False
        self.thread = TrainingThread()
        self.ranks: Ranks | None = None
        self.on_loss: Callable[[int, float], None] | None = None
        self._merger: Merger | None = None
        self._next_due = self._next_send = 0
        self._rounds = Rounds()
        self._sink = sink
        self._trace = trace
        self._queue: list[Queued] = []
        self._ready: list[Measurement] = []
        self._transfers: deque[tuple[Transfer, list[tuple[int, Queued]]]] = deque()
        self._skipped_in_a_row = 0
        self._loss_is_finite = True
        self._look_closer = False
        self._last_flush = time.monotonic()
        self._traced: Counter[tuple[int, Phase]] = Counter()

    @property
    def tracing(self) -> bool:
        """Whether the calls of the loop are still noted."""
        return self.step < TRACED_STEPS

    @property
    def share(self) -> tuple[int, int]:
        """Which of the processes that train this model together this is, from 0, and how many they are."""
        return (self.ranks.rank, self.ranks.count) if self.ranks is not None else (0, 1)

    @property
    def listening(self) -> bool:
        """Whether what is called now, in the caller's thread, is the training's."""
        return not self.suspended and self.thread.is_here

    def join(self, ranks: Ranks | None) -> None:
        """Take what is measured together with that of other processes, if there are any."""
        self.ranks = ranks
        self._merger = Merger(ranks) if ranks is not None else None

    def record(self, quantity: str, source: str, value: float, **tags: Tag) -> None:
        """Take a number that is on the host already.

        When the loss stops being a finite number at a step that is not measured in full, the next step is.
        """
        if quantity == "loss" and source == "train":
            finite = math.isfinite(value)
            self._look_closer |= self._loss_is_finite and not finite and not self.due
            self._loss_is_finite = finite
            if self.on_loss is not None:
                self.on_loss(self.step, value)
        self._ready.append(Measurement(self.step, quantity, source, value, tags))

    def record_scalar(self, quantity: str, source: str, value: torch.Tensor | float) -> None:
        """Take one number, wherever it is."""
        if isinstance(value, torch.Tensor):
            merged: Merged = "mean" if quantity in AVERAGED else "same"
            pack = self._heeding_loss() if (quantity, source) == ("loss", "train") else None
            self.put_table([quantity], [source], value.detach(), merged=merged, pack=pack)
        else:
            self.record(quantity, source, value)

    def _heeding_loss(self) -> Pack | None:
        """Tells of a loss when it has reached the host, before it is merged with those of other processes."""
        step, listener = self.step, self.on_loss
        if listener is None:
            return None

        def heed(numbers: np.ndarray) -> np.ndarray:
            listener(step, float(numbers[0]))
            return numbers

        return heed

    def put(
        self,
        values: torch.Tensor,
        read: Read,
        *,
        merged: Merged = "same",
        pack: Pack | None = None,
        label: str = "",
        if_stepped: bool = False,
    ) -> None:
        """Queue numbers that are still on a device: the one way for such numbers.

        Args:
            values: any shape; what is not changed any more before the step ends.
            read: makes measurements of the numbers, as a vector, once they are on the host (and merged).
            merged: how the numbers of several processes become one; it is said here, and done where they meet.
            pack: turns the numbers that reached the host into those that are merged and read; None if they are so.
            label: what the numbers are, where processes could have measured different things.
            if_stepped: whether they are left out where the optimizer skips the step. If all of many measured steps are
                skipped, they are not left out any more: what makes the scaler skip is in them.
        """
        skipped = self.skipped if if_stepped else None
        if values.requires_grad:
            values = values.detach()
        self._queue.append(
            Queued(values if values.dim() == 1 else values.reshape(-1), read, merged, pack, label, skipped)
        )

    def put_scalars(self, quantity: str, sources: Sequence[str], values: Sequence[torch.Tensor], **tags: Tag) -> None:
        """Queue one number for each source, the same in all processes; all `values` are on one device."""
        if sources:
            self.put_table([quantity], sources, torch.stack([value.detach() for value in values]), tags=tags)

    def put_table(
        self,
        quantities: Sequence[str],
        sources: Sequence[str],
        values: torch.Tensor,
        *,
        merged: Merged = "same",
        pack: Pack | None = None,
        tags: Mapping[str, Tag] = MappingProxyType({}),
        if_stepped: bool = False,
    ) -> None:
        """Queue one number for each quantity and source.

        Args:
            quantities: what was measured.
            sources: of what.
            values: [quantities * sources].
            merged: how the numbers of several processes become one.
            pack: see `put`.
            tags: of all these measurements.
            if_stepped: whether they are left out where the optimizer skips the step.
        """
        step, of_what = self.step, (tuple(quantities), tuple(sources))

        def read(numbers: np.ndarray) -> list[Measured]:
            return [MeasurementTable(step, *of_what, numbers.reshape(len(quantities), -1), tags)]

        self.put(values, read, merged=merged, pack=pack, if_stepped=if_stepped)

    def trace(self, call: str, **facts: Fact) -> None:
        """Note a call of the loop; ask `tracing` first, so that later steps do not even collect the facts.

        Of a step that makes more calls than usual (validation in between, accumulation) the first are noted.
        """
        place = (self.step, self.phase)
        self._traced[place] += 1
        if self._traced[place] <= (_TRACED_CALLS if self.phase == "train" else _TRACED_CALLS_OF_VALIDATION):
            self._trace(TraceEntry(self.step, call, facts))

    def trace_beyond(self, call: str, **facts: Fact) -> None:
        """Note a call even in a step that makes more than usual; whoever asks for it sees to it that there are few."""
        self._trace(TraceEntry(self.step, call, facts))

    def end_step(self, optimizer_index: int = 0) -> None:
        """An optimizer step is complete: decide about the next one, and hand on what has gathered."""
        due, self.step = self.due, self.step + 1
        if self._merger is None:
            self._end_step_alone(due)
        else:
            self._end_step_together(self._merger, due)
        self.due |= self._rounds.end_step(optimizer_index, due=due)

    def end_pass(self) -> None:
        """A pass over the validation data is complete: the next step may be far off, or never come."""
        self.flush(wait=self._is_late)

    @property
    def _is_late(self) -> bool:
        return time.monotonic() - self._last_flush > _FLUSH_AFTER

    def _end_step_alone(self, due: bool) -> None:
        if due or self._is_late or len(self._queue) + len(self._ready) > _QUEUE_LIMIT:
            self.flush(wait=False)
        self.due = self.schedule.end_step(self.step, due) or self._look_closer
        self._look_closer = False

    def _end_step_together(self, merger: Merger, due: bool) -> None:
        """All processes measure and send at the same steps: a fixed cadence, or what they want on average."""
        if due or self.step >= self._next_send:
            self._send(merger, due)
            self._next_send = self.step + min(merger.pause, _MOST_TO_SEND)
        else:
            self._hand_on(merger.collect(wait=False))
        wanted = self.schedule.end_step(self.step, due)
        merger.end_step(self.step)
        if merger.alone:
            self._read_all(merger)
            self.due = wanted
        elif self.schedule.every != "auto":
            self.due = wanted
        else:
            self._next_due = self.step + merger.interval if due else self._next_due
            self.due = self.step < DENSE_STEPS or self.step >= self._next_due

    def _send(self, merger: Merger, due: bool) -> None:
        self._hand_on(self._take_own())
        ready, self._ready = self._ready, []
        parts = [_averaged(one) for one in ready]
        if due or all(queued.values.is_cpu for queued in self._queue):
            self._start_transfers()
        parts += self._arrived(wait=True)
        self._start_transfers()  # of a step that is not measured: nothing waits for them before the next time
        wanted = (self.schedule.wanted_interval, self.schedule.steps_in(_SEND_AFTER))
        self._hand_on(merger.send(self.step, parts, wanted))

    def _take_own(self) -> list[Measured]:
        """Numbers on the host that are not taken together with those of other processes."""
        own: list[Measured] = [one for one in self._ready if one.quantity not in AVERAGED]
        self._ready = [one for one in self._ready if one.quantity in AVERAGED]
        return own

    def _read_all(self, merger: Merger) -> None:
        """There is nobody to merge with any more: what is still under way is read as this process knows it."""
        self._merger = None
        self._hand_on(merger.close())

    def flush(self, *, wait: bool = True) -> None:
        """Send queued numbers to the host, and hand on those that have arrived (all of them if `wait`).

        Together with other processes, only what is this one's own or has been exchanged: no process can do that alone.
        """
        self._last_flush = time.monotonic()
        with np.errstate(all="ignore"):  # whatever the user's settings are
            self._flush(wait=wait)

    def _flush(self, *, wait: bool) -> None:
        if self._merger is not None:
            self._hand_on(self._take_own() + self._merger.collect(wait=wait))
            return
        while True:
            self._start_transfers()
            measurements: list[Measured] = [*self._ready]
            self._ready.clear()
            for part in self._arrived(wait=wait):
                measurements.extend(part.read(part.numbers))
            self._hand_on(measurements)
            if not (wait and self._queue):  # a loss that arrives may make its listener measure something
                return

    def close(self) -> None:
        """Measuring has ended: hand on all there is."""
        merger, ranks = self._merger, self.ranks
        if merger is not None:
            self._read_all(merger)
        self.flush()
        if ranks is not None:
            ranks.close()

    def _start_transfers(self) -> None:
        queue, self._queue = self._queue, []
        for device in dict.fromkeys([queued.values.device for queued in queue]):
            here = [queued for queued in queue if queued.values.device == device]
            packed = torch.cat([part for queued in here for part in queued.to_send()])
            self._transfers.append((Transfer(packed), [(queued.size, queued) for queued in here]))

    def _arrived(self, *, wait: bool) -> Iterator[Part]:
        while self._transfers and (wait or self._transfers[0][0].ready):
            transfer, parts = self._transfers.popleft()
            numbers, start, flags = transfer.numbers(), 0, set[bool]()
            for size, queued in parts:
                arrived = queued.received(numbers[start : start + size])
                start += size
                packed = arrived if queued.pack is None else queued.pack(arrived).reshape(-1)
                read = queued.read
                if queued.skipped is not None:
                    flags.add(bool(numbers[start]))
                    read = _nothing if numbers[start] and self._skipped_in_a_row < _SEARCH else read
                    start += 1
                yield Part(packed, read, queued.merged, queued.label)
            if flags:
                self._skipped_in_a_row = self._skipped_in_a_row + 1 if True in flags else 0

    def _hand_on(self, measurements: list[Measured]) -> None:
        if measurements:
            self._sink(measurements)

    @contextlib.contextmanager
    def suspend(self) -> Iterator[None]:
        """Measure nothing inside the `with` block: what runs there is not the user's training."""
        before, self.suspended = self.suspended, True
        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            self.suspended = before


def _nothing(numbers: np.ndarray) -> list[Measured]:
    """Of a step that was skipped."""
    return []


def _averaged(measured: Measurement) -> Part:
    """A number on the host whose mean over the processes is taken."""

    def read(numbers: np.ndarray) -> Iterator[Measurement]:
        yield measured._replace(value=float(numbers[0]))

    return Part(np.array([measured.value], dtype=np.float64), read, "mean", measured.quantity)
