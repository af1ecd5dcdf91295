"""The gradients that a step uses: norm and sum, by parameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import norms


class GradientProbe(StepReader):
    """Reads gradients where they are final: at the optimizer's step, accumulated, averaged, unscaled, clipped.

    An optimizer that is given a closure (LBFGS) has no gradient yet at that point; there the gradient of its last
    evaluation is read after the step.
    """

    name = "gradient"

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer], names: ParameterNames) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._names = names
        self._read_before = False

    def before_step(self, optimizer_index: int) -> None:
        self._read_before = self._read(optimizer_index)

    def after_step(self, optimizer_index: int) -> None:
        if not self._read_before:
            self._read(optimizer_index)

    def _read(self, optimizer_index: int) -> bool:
        scale = getattr(self._optimizers[optimizer_index], "grad_scale", None)  # a fused optimizer unscales by itself
        by_device: dict[torch.device, list[tuple[str, torch.Tensor]]] = {}
        for name, parameter in self._names.stepped(optimizer_index):
            if parameter.grad is not None:
                by_device.setdefault(parameter.device, []).append((name, parameter.grad))
        for found in by_device.values():
            names = [name for name, _ in found]
            sums = [_sum(gradient) for _, gradient in found]
            sizes = norms([gradient for _, gradient in found])
            if scale is not None:
                sizes = [size / scale.to(size.device) for size in sizes]
                sums = [total / scale.to(total.device) for total in sums]
            self.recorder.put_scalars("gradient_norm", names, sizes, optimizer=optimizer_index)
            self.recorder.put_scalars("gradient_sum", names, sums, optimizer=optimizer_index)
        return bool(by_device)


def _sum(gradient: torch.Tensor) -> torch.Tensor:
    gradient = gradient.detach()
    if gradient.is_sparse:
        gradient = gradient.coalesce().values()
    if gradient.is_complex():
        gradient = torch.view_as_real(gradient)
    return gradient.sum(dtype=torch.float32)
