"""The boundary of a step: what happens just before and just after an optimizer changes the parameters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np
from torch.optim import Optimizer

from nn_inspector.probes.between_events import learning_rates
from nn_inspector.probes.plain_torch import plain_torch
from nn_inspector.probes.probe import Probe, StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.training_thread import Sign


class StepProbe(Probe):
    """Calls the step readers around each optimizer's step, and ends the recorder's step.

    Args:
        recorder: the recorder whose step ends.
        readers: called in this order before the step, and in this order after it.
        on_step: called last; a `TrainingStopped` that it raises ends the user's loop.
    """

    name = "step"

    def __init__(self, recorder: Recorder, readers: Sequence[StepReader], on_step: Callable[[], None]) -> None:
        super().__init__(recorder)
        self._all = list(readers)
        self._before_all, self._after_all = _that_look(self._all, "before_step"), _that_look(self._all, "after_step")
        self._expecting = _that_look(self._all, "expect_step")
        self._on_step = on_step
        self._may_nest = False
        self._choose()

    def attach(self) -> None:
        self._expect()

    def add_optimizer(self, index: int, optimizer: Optimizer) -> None:
        """Watch the steps of one more optimizer."""
        for reader in self._all:
            self._guard(reader, reader.add_optimizer, index)
        self._may_nest |= _has_several_steps(optimizer)
        self.keep(optimizer.register_step_pre_hook(self.hook(self._before, index, sign=Sign.STEP)))
        self.keep(optimizer.register_step_post_hook(self.hook(self._after, index)))

    def _before(self, index: int, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._may_nest and _is_nested(optimizer):
            return
        self.recorder.skipped = getattr(optimizer, "found_inf", None)
        self.recorder.with_closure = kwargs.get("closure", args[1] if len(args) > 1 else None) is not None
        for reader in self._before_all if self.recorder.due else self._before_cheap:
            if reader.failure is None:  # written out: this runs at every step
                try:
                    with reader.arithmetic():
                        reader.before_step(index)
                except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
                    reader.fail(error)

    def _after(self, index: int, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._may_nest and _is_nested(optimizer):
            return
        recorder = self.recorder
        for reader in self._after_all if recorder.due else self._after_cheap:
            if reader.failure is None:
                try:
                    with reader.arithmetic():
                        reader.after_step(index)
                except Exception as error:  # noqa: BLE001 - see above
                    reader.fail(error)
        recorder.skipped = None
        if recorder.tracing:
            recorder.trace("step", optimizer=index, rates=learning_rates(optimizer))
        with np.errstate(all="ignore"):  # whatever the user's settings are
            self._end_step(index)
            self._on_step()

    def _end_step(self, index: int) -> None:
        was_due = self.recorder.due
        with plain_torch():
            self.recorder.end_step(index)
        if self.recorder.due:
            self._expect()
        elif was_due:
            for reader in self._all:
                self._guard(reader, reader.rest)
            self._choose()

    def _choose(self) -> None:
        """Who is asked at steps that are not measured in full."""
        awake = [reader for reader in self._all if not reader.idle]
        self._before_cheap, self._after_cheap = _that_look(awake, "before_step"), _that_look(awake, "after_step")

    def _expect(self) -> None:
        for reader in self._expecting:
            self._guard(reader, reader.expect_step)

    def _guard(self, reader: StepReader, read: Callable[..., None], *what: int) -> None:
        if reader.failure is None:
            try:
                read(*what)
            except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
                reader.fail(error)


def _that_look(readers: Sequence[StepReader], method: str) -> list[StepReader]:
    """Those that do something there: an empty call costs as much as a short one."""
    return [reader for reader in readers if getattr(type(reader), method) is not getattr(StepReader, method)]


_WITH_HOOKS = Optimizer.profile_hook_step(len).__code__
"""What torch makes of the step() of each class, its base classes included: it calls the hooks around it."""


def _has_several_steps(optimizer: Optimizer) -> bool:
    """Whether its step() may call another one of its class's bases, so that torch calls the hooks of one step twice."""
    return sum("step" in vars(kind) for kind in type(optimizer).__mro__ if kind is not Optimizer) > 1


def _is_nested(optimizer: Optimizer) -> bool:
    """Whether the step() that calls its hooks now was called by another one of the same optimizer."""
    frame: FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None and depth < 2:
        depth += frame.f_code is _WITH_HOOKS and frame.f_locals.get("self") is optimizer
        frame = frame.f_back
    return depth > 1
