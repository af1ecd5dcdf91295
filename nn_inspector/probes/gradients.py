"""The gradients that a step uses: their norms, by parameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from nn_inspector.probes.parameters import Named, ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import norms


class GradientReader(StepReader):
    """Reads gradients where they are final: at the optimizer's step, accumulated, averaged, unscaled, clipped.

    Where a gradient scaler met NaN or Inf and has a fused optimizer skip its step, no gradient is used and none recorded:
    that is how the scaler looks for its scale.

    An optimizer that is given a closure (LBFGS) computes its gradient within the step, and what it has before is that of an
    earlier one; there the gradient of its last evaluation is read after the step.
    """

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer], names: ParameterNames) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._names = names

    def before_step(self, optimizer_index: int) -> None:
        if not self.recorder.with_closure:
            self._read(optimizer_index)

    def after_step(self, optimizer_index: int) -> None:
        if self.recorder.with_closure:
            self._read(optimizer_index)

    def look(self, optimizer_index: int, gradients: Named, scale: torch.Tensor | None) -> None:
        """Measure these gradients; divide by `scale` if there is one: a fused optimizer unscales by itself."""
        raise NotImplementedError

    def _read(self, optimizer_index: int) -> None:
        scale = getattr(self._optimizers[optimizer_index], "grad_scale", None)
        for names, parameters in self._names.by_device(optimizer_index):
            pairs = [(n, p.grad) for n, p in zip(names, parameters, strict=True) if p.grad is not None]
            if pairs:
                self.look(optimizer_index, ([name for name, _ in pairs], [gradient for _, gradient in pairs]), scale)


class GradientProbe(GradientReader):
    """Norm of each gradient.

    Attributes:
        seen: names of all parameters that ever had a gradient.
    """

    name = "gradients"

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer], names: ParameterNames) -> None:
        super().__init__(recorder, optimizers, names)
        self.seen: set[str] = set()

    def look(self, optimizer_index: int, gradients: Named, scale: torch.Tensor | None) -> None:
        names, tensors = gradients
        self.seen.update(names)
        numbers = norms(tensors)
        if scale is not None:
            numbers = numbers / scale.to(numbers.device)
        self.recorder.put_table(
            ("gradient_norm",), names, numbers, tags={"optimizer": optimizer_index}, if_stepped=True
        )
