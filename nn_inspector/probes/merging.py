"""Numbers on their way from this process to all: packed, added up, and read once they are the sum of all processes."""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nn_inspector.probes.measurement import Measured
from nn_inspector.probes.ranks import Exchange, Ranks
from nn_inspector.probes.schedule import DENSE_STEPS

Read = Callable[[np.ndarray], Iterable[Measured]]

Merged = Literal["same", "sum", "mean"]
"""How numbers of several processes become one: all have the same, theirs add up, or their mean is taken."""

AVERAGED = frozenset({"loss", "objective"})
"""Each process computes these on its own share of the batch; DistributedDataParallel averages their gradients."""


@dataclass(frozen=True, slots=True)
class Part:
    """Numbers that have reached the host.

    Attributes:
        numbers: float64 [n], of this process.
        read: makes measurements of them.
        merged: how they become one with those of the other processes.
        label: what they are, so that different things are never added up.
    """

    numbers: np.ndarray
    read: Read
    merged: Merged
    label: str


@dataclass(slots=True)
class _Bundle:
    """The parts that are sent together, and the exchange that they wait for, once it has begun.

    Attributes:
        step: when they are sent.
        wanted: see `Merger.send`.
        places: where those that are exchanged begin in it.
    """

    step: int
    parts: list[Part]
    wanted: tuple[float, float]
    exchange: Exchange | None = None
    places: dict[int, int] = field(default_factory=dict)

    def begin(self, ranks: Ranks) -> None:
        size, merged = 0, [place for place, part in enumerate(self.parts) if part.merged != "same"]
        for place in sorted(
            merged, key=lambda place: self.parts[place].merged != "mean"
        ):  # losses first, if not all fit
            if size + len(self.parts[place].numbers) <= ranks.capacity:
                self.places[place] = size
                size += len(self.parts[place].numbers)
        if len(self.places) < len(merged):
            ranks.leave_out(sum(len(self.parts[place].numbers) for place in merged))
        mine = [self.parts[place] for place in self.places]
        labels = [self.step, *((part.label, len(part.numbers)) for part in mine)]
        layout = zlib.crc32(repr(labels).encode()) & 0xFFFFFF
        numbers = np.concatenate([part.numbers for part in mine]) if mine else np.zeros(0)
        self.exchange = ranks.exchange(numbers, layout, self.wanted)

    def read(self, total: np.ndarray | None, processes: int) -> Iterable[Measured]:
        for place, part in enumerate(self.parts):
            numbers = part.numbers
            if place in self.places and total is not None:
                start = self.places[place]
                numbers = total[start : start + len(numbers)]
                if part.merged == "mean":
                    numbers = numbers / processes
            yield from part.read(numbers)


@dataclass(slots=True)
class Merger:
    """Bundles what is sent at a step, one exchange for each, and keeps their order.

    What is measured before the processes have met is kept until then, and exchanged like all that follows.

    Attributes:
        ranks: the other processes.
        interval: every so many steps all processes measure; they have agreed on it.
        pause: after so many steps all send what they have, measured or not; as well.
    """

    ranks: Ranks
    interval: int = 1
    pause: int = 1
    _bundles: deque[_Bundle] = field(default_factory=deque)

    @property
    def alone(self) -> bool:
        """Whether there is nobody to merge with, or nobody any more."""
        return self.ranks.failure is not None

    def end_step(self, step: int) -> None:
        """A step is complete; the processes may meet now, and exchange what they have kept."""
        if self.ranks.merging:
            return
        self.ranks.end_step(step, last=DENSE_STEPS)
        if self.ranks.merging:
            for bundle in self._bundles:
                bundle.begin(self.ranks)

    def send(self, step: int, parts: list[Part], wanted: tuple[float, float]) -> list[Measured]:
        """Begin the exchange of what has gathered; all processes must do so at the same steps.

        Args:
            step: optimizer steps complete.
            parts: what has gathered.
            wanted: the `interval` and the `pause` that this process would have.

        Returns:
            What earlier exchanges have brought: all of them are complete after this, so that the processes agree.
        """
        bundle = _Bundle(step, parts, wanted)
        if self.ranks.merging:
            bundle.begin(self.ranks)
        brought = self.collect(wait=True)
        self._bundles.append(bundle)
        return brought

    def collect(self, *, wait: bool) -> list[Measured]:
        """Read what has arrived from all processes; without `wait`, what has by now. Nothing before they have met."""
        return self._read(wait=wait) if self.ranks.merging or self.alone else []

    def close(self) -> list[Measured]:
        """Read all there is: what was not exchanged, as this process knows it."""
        return self._read(wait=True)

    def _read(self, *, wait: bool) -> list[Measured]:
        measurements: list[Measured] = []
        while self._bundles and (wait or self._bundles[0].exchange is None or self._bundles[0].exchange.ready):
            bundle = self._bundles.popleft()
            measurements.extend(bundle.read(self._total(bundle.exchange), self.ranks.count))
        return measurements

    def _total(self, exchange: Exchange | None) -> np.ndarray | None:
        if exchange is None or not self.ranks.merging:
            return None
        try:
            result = exchange.result()
        except RuntimeError as error:
            self.ranks.give_up(error)
            return None
        if result is None:
            return None
        total, agreed = result
        if np.isfinite(agreed).all():
            self.interval, self.pause = (max(math.ceil(steps), 1) for steps in agreed)
        return total
