"""What the optimizer remembers: momentum, and running means of gradients and of their squares."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import norms


class MomentProbe(StepReader):
    """Norm of each tensor in the optimizer's state that has its parameter's shape, such as `exp_avg` or `momentum_buffer`.

    The source is "parameter:key".
    """

    name = "moments"

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer], names: ParameterNames) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._names = names

    def after_step(self, optimizer_index: int) -> None:
        state = self._optimizers[optimizer_index].state
        by_device: dict[torch.device, list[tuple[str, torch.Tensor]]] = {}
        for name, parameter in self._names.stepped(optimizer_index):
            for key, value in state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape and key != "step":
                    by_device.setdefault(value.device, []).append((f"{name}:{key}", value))
        for found in by_device.values():
            numbers = norms([value for _, value in found])
            sources = [source for source, _ in found]
            self.recorder.put_table(("optimizer_moment_norm",), sources, numbers, tags={"optimizer": optimizer_index})
