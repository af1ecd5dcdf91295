"""Sees whether something takes back, every so many steps, what these steps have changed: at validations, or without."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import Optimizer

from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.undoing import Numbers, differences, numbers_of, taken_back

WATCHED_TIMES = 65


class RegularWrites(StepReader):
    """Compares a few numbers of the weights over stretches of steps that end alike.

    A stretch ends where the model is validated, or where something besides the optimizer has written to the weights. Two
    that are equally long tell where the next one ends, so that numbers are taken there alone.

    Args:
        recorder: takes the entries "set_back_regularly", `at` "validation" or "write": "share", "apart" and "steps" as where a
            pass is set back, and how many stretches were "compared" so far.
        optimizers: the watched ones; nothing is noted while there are several.
    """

    name = "regular_writes"
    every_step = True

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer]) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._rhythms = {"validation": _Rhythm(), "write": _Rhythm()}
        self._validated = False
        self._version = -1

    @property
    def idle(self) -> bool:
        return len(self._optimizers) != 1 or all(one.compared >= WATCHED_TIMES for one in self._rhythms.values())

    def validation(self) -> None:
        """The model is called to be validated."""
        self._validated = True

    def after_step(self, optimizer_index: int) -> None:
        if self.idle:
            return
        done = self.recorder.step + 1
        for rhythm in self._rhythms.values():
            if rhythm.ends_at(done):
                rhythm.ended = numbers_of(self._optimizers[0])
        self._version = _version_of(self._optimizers[0])

    def before_step(self, optimizer_index: int) -> None:
        if self.idle:
            return
        self._heed("validation", seen=self._validated)
        self._heed("write", seen=self._version not in (-1, _version_of(self._optimizers[0])))
        self._validated = False

    def _heed(self, at: str, *, seen: bool) -> None:
        rhythm = self._rhythms[at]
        if not seen or rhythm.compared >= WATCHED_TIMES:
            rhythm.ended = []
            return
        steps, began, ended = rhythm.period, rhythm.began, rhythm.ended
        now = rhythm.restart(self.recorder.step, numbers_of(self._optimizers[0]))
        if not ended or not [one.shape for one in began] == [one.shape for one in ended] == [one.shape for one in now]:
            return
        rhythm.compared += 1
        found = taken_back(differences(ended, began), differences(now, ended))
        if found is not None:
            share, apart = found
            self.recorder.trace_beyond(
                "set_back_regularly",
                optimizer=0,
                share=share,
                apart=apart,
                steps=steps,
                at=at,
                compared=rhythm.compared,
            )


class _Rhythm:
    """Where stretches of steps end.

    Attributes:
        period: steps of the latest one; 0 while none is known.
        began, ended: numbers of the weights where the present one begins, and where it is expected to end.
        compared: how many were compared.
    """

    def __init__(self) -> None:
        self.period = 0
        self.began: Numbers = []
        self.ended: Numbers = []
        self.compared = 0
        self._last = -1

    def ends_at(self, step: int) -> bool:
        """Whether it is expected to end after so many steps; what comes at each step is none."""
        return self.period > 1 and step == self._last + self.period

    def restart(self, step: int, now: Numbers) -> Numbers:
        """A stretch has ended after so many steps, and the next one begins."""
        self.period = step - self._last if self._last >= 0 else 0
        self._last, self.began, self.ended = step, now, []
        return now


def _version_of(optimizer: Optimizer) -> int:
    """How often something was written to the first of its weights, but for what goes around that count (`.data`)."""
    held = next((p for group in optimizer.param_groups for p in group["params"] if p.requires_grad), None)
    return -1 if held is None or held.is_inference() else held._version
