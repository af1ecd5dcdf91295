"""Several processes that train one model: their numbers become one, without any of them ever waiting for long.

The processes meet in a group of their own (gloo, on the host), so that nothing of ours stands between the collectives
of the training. They agree through torch's key-value store whether all of them watch. There is one packed, asynchronous
all-reduce for each measured step, the first ones included, which wait for the meeting, and a few a second for what is measured
at every step. If one does not watch, dies or falls behind,
each of the others measures its own share.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from nn_inspector.errors import describe_error

PATIENCE = 10.0
"""Seconds that a number of another process is waited for; then merging ends."""

_START_AFTER = 3
"""Steps between the decision to merge and its beginning: training in step, no process can be further ahead."""

_HEADER = 5  # processes, fingerprint of the layout, its square, and two numbers of the caller's

_watches = itertools.count()


def world_size() -> int:
    """How many processes have met in torch.distributed; 1 where there is no meeting."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first_rank() -> bool:
    """Whether this process writes what all have measured: rank 0, or the only one."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


@dataclass(slots=True)
class Exchange:
    """One all-reduce under way."""

    buffer: torch.Tensor
    size: int
    work: Any

    @property
    def ready(self) -> bool:
        """Whether `result` would not wait."""
        return bool(self.work.is_completed())

    def result(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The sum over all processes and the mean of the caller's two numbers; None if the processes measured different things.

        Raises:
            RuntimeError: a process is gone, or has not answered in time.
        """
        self.work.wait(timedelta(seconds=PATIENCE))
        numbers = self.buffer.numpy()
        processes, layout, square = numbers[:3]
        if processes * square != layout**2:  # Cauchy and Schwarz: equal only if all fingerprints are
            return None
        return numbers[_HEADER : _HEADER + self.size], numbers[3:_HEADER] / processes


class Ranks:
    """The other processes of a training.

    Args:
        capacity: at most so many numbers are merged in one step; the same in all processes.

    Attributes:
        count: how many processes there are. rank: which this is.
        merging: whether numbers are merged now.
        capacity: at most so many numbers are merged in one step.
        failure: why they are not, or not any more, for a person; None while all is well.
        left_out: what is not merged because it is too much, for a person; None while there is nothing.
    """

    def __init__(self, capacity: int) -> None:
        self.count, self.rank = dist.get_world_size(), dist.get_rank()
        self.merging = False
        self.failure: str | None = None
        self.left_out: str | None = None
        self.capacity = capacity
        self._group: Any = None
        self._start: int | None = None
        self._key = f"nn_inspector/{next(_watches)}"
        self._store = dist.distributed_c10d._get_default_store()
        self._store.set(f"{self._key}/{self.rank}", "watches")

    @staticmethod
    def of(model: nn.Module, capacity: int) -> Ranks | None:
        """The processes that train this model together; None if it is one alone."""
        if world_size() < 2:
            return None
        return Ranks(capacity) if isinstance(model, nn.parallel.DistributedDataParallel) else None

    def end_step(self, step: int, last: int) -> None:
        """Take one more step towards merging.

        Args:
            step: optimizer steps complete.
            last: merging begins before this step or never.
        """
        if self.merging or self.failure is not None:
            return
        try:
            if self._start is None:
                self._start = self._agreed(step)
            if self._start == step:
                self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=PATIENCE))
                self.merging = True
                return
        except (RuntimeError, ValueError) as error:  # the store, too, is gone with the process that keeps it
            self.give_up(error)
            return
        if step >= last:
            self.failure = (
                f"Only this process's share of the data is measured: not all {self.count} processes watch the model. "
                "Call watch() in each of them."
            )

    def leave_out(self, size: int) -> None:
        """One step has brought so many numbers, which are too many."""
        self.left_out = (
            f"One step brings {size:,} numbers, and the processes exchange {self.capacity:,}: some of what is measured is of "
            "this process's share of the data. Measure less, with layers=... or probes=..."
        )

    def exchange(self, numbers: np.ndarray, layout: int, extra: tuple[float, float]) -> Exchange | None:
        """Begin to add up numbers over all processes; all of them must make this call, in the same order.

        Args:
            numbers: float64 [n], no more than `capacity`.
            layout: a fingerprint of what they are, below 2**24.
            extra: two numbers to be averaged.
        """
        buffer = torch.zeros(_HEADER + self.capacity, dtype=torch.float64)
        buffer[:_HEADER] = torch.tensor([1.0, layout, float(layout) ** 2, *extra], dtype=torch.float64)
        buffer[_HEADER : _HEADER + len(numbers)] = torch.from_numpy(numbers)
        try:
            return Exchange(buffer, len(numbers), dist.all_reduce(buffer, group=self._group, async_op=True))
        except RuntimeError as error:
            self.give_up(error)
            return None

    def give_up(self, error: Exception) -> None:
        """Measure this process's share alone from now on."""
        self.merging = False
        self.failure = (
            "Another process is gone or has fallen behind; from here on only this process's share of the data is measured "
            f"({describe_error(error)})."
        )

    def close(self) -> None:
        """Leave the group."""
        group, self._group, self.merging = self._group, None, False
        if group is not None and dist.is_initialized():
            dist.destroy_process_group(group)

    def _agreed(self, step: int) -> int | None:
        """The step at which merging begins, once rank 0 has seen that all watch and said so."""
        if self.rank == 0:
            if not self._store.check([f"{self._key}/{rank}" for rank in range(self.count)]):
                return None
            self._store.set(f"{self._key}/start", str(step + _START_AFTER))
            return step + _START_AFTER
        return int(self._store.get(f"{self._key}/start")) if self._store.check([f"{self._key}/start"]) else None
