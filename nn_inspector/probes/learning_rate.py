"""The learning rate of each parameter group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder


def group_name(optimizer_index: int, group_index: int) -> str:
    """How a parameter group is called as the source of a measurement.

    Example:
        >>> group_name(0, 1)
        'optimizer 0 group 1'
    """
    return f"optimizer {optimizer_index} group {group_index}"


class LearningRateProbe(StepReader):
    """Reads each group's learning rate whenever it changes; a rate that is a tensor, at measured steps."""

    name = "learning rate"
    every_step = True

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer]) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._known: dict[tuple[int, int], float] = {}

    def before_step(self, optimizer_index: int) -> None:
        for index, group in enumerate(self._optimizers[optimizer_index].param_groups):
            rate, place = group.get("lr"), (optimizer_index, index)
            if isinstance(rate, torch.Tensor):
                if self.recorder.due:
                    self.recorder.put_scalars("learning_rate", [group_name(*place)], [rate])
            elif rate is not None and self._known.get(place) != rate:
                self._known[place] = rate
                self.recorder.record("learning_rate", group_name(*place), rate)
