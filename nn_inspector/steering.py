"""What a person may ask of a running training: noted from any thread, done at the next step boundary."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from nn_inspector.errors import ArgumentError
from nn_inspector.probes import group_name

_LOOK = 0.1
"""Seconds between two looks of a paused training for an interrupt."""


@dataclass(frozen=True, slots=True)
class RateChange:
    """Another learning rate, as it was asked for.

    Attributes:
        value: the new rate, or what the present one is multiplied by.
        group: a parameter group by its name in the run; None for all.
        is_factor: whether `value` is a factor.
    """

    value: float
    group: str | None = None
    is_factor: bool = False

    def of(self, rate: float) -> float:
        """The new rate in place of this one."""
        return rate * self.value if self.is_factor else self.value

    @property
    def words(self) -> str:
        """What is noted in the run.

        Example:
            >>> RateChange(0.5, is_factor=True).words
            'learning rate of all groups multiplied by 0.5'
        """
        return f"learning rate of {self.group or 'all groups'} {'multiplied by' if self.is_factor else 'set to'} {self.value:g}"


class Steering:
    """Stop, pause, resume, single steps and new learning rates.

    Args:
        optimizers: the training's; the list may grow.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers
        self._stop = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        self._single = False
        self._waiting = False
        self._look = threading.Event()
        self._lock = threading.Lock()
        self._rates: list[RateChange] = []

    @property
    def is_paused(self) -> bool:
        """Whether the training waits, or will at its next step boundary."""
        return not self._go_on.is_set()

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to do at the next step boundary."""
        return bool(self._stop.is_set() or not self._go_on.is_set() or self._single or self._rates)

    @property
    def is_waiting(self) -> bool:
        """Whether the training stands still now."""
        return self._waiting

    def stop(self) -> None:
        """End the training; a paused one as well."""
        self._stop.set()
        self.resume()

    def pause(self) -> None:
        """Wait at the next step boundary."""
        self._go_on.clear()

    def resume(self) -> None:
        """Go on."""
        with self._lock:
            self._single = False
            self._go_on.set()

    def single_step(self) -> None:
        """Make one step and wait again."""
        with self._lock:
            self._single = True
            self._go_on.set()

    def look(self) -> None:
        """If the training waits, let its views be shown once more."""
        self._look.set()

    def set_learning_rate(self, value: float, group: str | int | None) -> None:
        """Give parameter groups another learning rate.

        Args:
            value: the new rate, 0 or above.
            group: a group by its name in the run ("group 0") or its number; None for all.

        Raises:
            ArgumentError: the value is no rate, or there is no such group.
        """
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ArgumentError("value", expected="a learning rate from 0", got=repr(value), advice="Try 0.001.")
        self._ask(RateChange(float(value), self._name(group)))

    def scale_learning_rate(self, factor: float, group: str | int | None) -> None:
        """Multiply the learning rates of parameter groups.

        Args:
            factor: above 0.
            group: as for `set_learning_rate`.

        Raises:
            ArgumentError: it is no factor, or there is no such group.
        """
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
            raise ArgumentError("factor", expected="a number above 0", got=repr(factor), advice="0.5 halves the rate.")
        self._ask(RateChange(float(factor), self._name(group), is_factor=True))

    def forget(self) -> None:
        """Take back what no step has met: it was meant for a training that is over."""
        self._stop.clear()
        self.resume()
        with self._lock:
            self._rates.clear()

    def at_step_boundary(self, on_wait: Callable[[], None]) -> tuple[bool, list[RateChange]]:
        """Do what was asked for; called in the training's thread between two steps.

        Args:
            on_wait: called before the training begins to wait, and again when its views are to be shown once more.

        Returns:
            Whether the training is to end, and the learning rates that were changed.

        Raises:
            KeyboardInterrupt: the training was interrupted while it waited.
        """
        if self.is_paused or self._single:
            self._wait(on_wait)
        changed = self._apply_rates() if self._rates else []
        stop = self._stop.is_set()
        self._stop.clear()
        return stop, changed

    def _ask(self, change: RateChange) -> None:
        with self._lock:
            self._rates.append(change)

    def _name(self, group: str | int | None) -> str | None:
        known = self._groups()
        name = known[group] if isinstance(group, int) and 0 <= group < len(known) else group
        if name is not None and name not in known:
            advice = f"There are: {', '.join(known)}." if known else "No optimizer is known yet: make a step first."
            raise ArgumentError("group", expected="a parameter group", got=repr(group), advice=advice)
        return None if name is None else str(name)

    def _wait(self, on_wait: Callable[[], None]) -> None:
        with self._lock:
            if self._single:  # the step that was asked for is made
                self._single = False
                self._go_on.clear()
        self._waiting = True
        try:
            self._look.clear()
            on_wait()
            while not self._go_on.wait(_LOOK):  # a wait without an end could not be interrupted on every system
                if self._look.is_set():
                    self._look.clear()
                    on_wait()
        except KeyboardInterrupt:
            self.resume()
            raise
        finally:
            self._waiting = False

    def _apply_rates(self) -> list[RateChange]:
        with self._lock:
            wanted, self._rates = self._rates, []
        for change in wanted:
            for index, optimizer in enumerate(self._optimizers):
                for number, group in enumerate(optimizer.param_groups):
                    if change.group in (None, group_name(index, number)):
                        _change_rate(group, change)
        return wanted

    def _groups(self) -> list[str]:
        pairs = (
            (index, number) for index, one in enumerate(self._optimizers) for number in range(len(one.param_groups))
        )
        return [group_name(index, number) for index, number in pairs]


def _change_rate(group: dict[str, Any], change: RateChange) -> None:
    rate = group.get("lr")
    if isinstance(rate, torch.Tensor):  # capturable optimizers keep it on the device
        rate.fill_(change.of(float(rate)))
    elif rate is not None:
        group["lr"] = change.of(rate)
