"""Sees whether something takes back, between two passes over the training data, what a pass has changed."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import Optimizer

from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.undoing import Numbers, differences, numbers_of, taken_back

WATCHED_PASSES = 65


class SetBack(Probe):
    """Compares a few numbers of the weights where a pass begins, where it ends, and where the next one begins.

    Args:
        recorder: takes the entries "set_back", of the first 65 passes: "share" and "apart" as of "undone", of what the
            "steps" of the pass changed.
        optimizers: the watched ones; the list may grow.
    """

    name = "set_back"

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer]) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._began: list[Numbers] = []
        self._ended: list[Numbers] = []
        self._within = False
        self._first_step = 0
        self._steps = 0
        self._passes = 0

    def batch(self) -> None:
        """A training batch is handed out: the first one begins a pass."""
        if self._within or self._passes >= WATCHED_PASSES:
            return
        self._within, self._passes = True, self._passes + 1
        now = [numbers_of(optimizer) for optimizer in self._optimizers]
        if len(self._began) == len(self._ended) == len(now) and self._steps:
            for index, numbers in enumerate(zip(self._began, self._ended, now, strict=True)):
                self._note(index, *numbers)
        self._began, self._ended, self._first_step = now, [], self.recorder.step

    def _note(self, index: int, began: Numbers, ended: Numbers, now: Numbers) -> None:
        if not [one.shape for one in began] == [one.shape for one in ended] == [one.shape for one in now]:
            return
        found = taken_back(differences(ended, began), differences(now, ended))
        if found is not None:
            share, apart = found
            self.recorder.trace("set_back", optimizer=index, share=share, apart=apart, steps=self._steps)

    def end(self) -> None:
        """The loader of the training batches came to its end."""
        if self._within:
            self._within, self._steps = False, self.recorder.step - self._first_step
            self._ended = [numbers_of(optimizer) for optimizer in self._optimizers]
