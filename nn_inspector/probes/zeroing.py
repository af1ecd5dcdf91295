"""Whether gradients are cleared between steps, and at the right place."""

from __future__ import annotations

import torch

from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import norms


class ZeroingProbe(StepReader):
    """Looks at one witness parameter of each optimizer whenever backward() is about to add to its gradient.

    If no backward() since the last step began with a cleared gradient, the step uses gradients of earlier steps. A
    gradient left over that is cleared before the last backward(), as in a GAN, does no harm and is not counted; nor
    is accumulation over several batches, whose first backward() begins cleared.
    """

    name = "zeroing"
    every_step = True

    def __init__(self, recorder: Recorder, names: ParameterNames) -> None:
        super().__init__(recorder)
        self._names = names
        self._witnesses: list[_Witness | None] = []

    def add_optimizer(self, optimizer_index: int) -> None:
        witness = self._choose(optimizer_index)
        self._witnesses.append(witness)
        if witness is not None:
            self.keep(witness.parameter.register_hook(self.hook(self._on_backward, witness)))

    def detach(self) -> None:
        super().detach()
        for witness in self._witnesses:
            if witness is not None and not witness.parameter._backward_hooks:
                witness.parameter._backward_hooks = None  # what it was before the first hook
        self._witnesses = []

    def before_step(self, optimizer_index: int) -> None:
        witness = self._witnesses[optimizer_index]
        if witness is None or witness.backwards == 0:
            return
        source, gradient = f"optimizer {optimizer_index}", witness.parameter.grad
        if witness.steps > 0:
            self.recorder.record_scalar("kept_gradient", source, witness.kept())
        if gradient is None:
            self.recorder.record("cleared_gradient", source, 1.0)
        elif self.recorder.due and witness.arrived is not None:
            cleared = (norms([gradient])[0] == 0) & (witness.arrived > 0)
            self.recorder.put_scalars("cleared_gradient", [source], [cleared])

    def after_step(self, optimizer_index: int) -> None:
        witness = self._witnesses[optimizer_index]
        if witness is not None:
            witness.begin_step()

    def _on_backward(self, witness: _Witness, incoming: torch.Tensor) -> None:
        gradient = witness.parameter.grad
        witness.left.append(None if gradient is None else norms([gradient])[0])
        if self.recorder.due:
            norm = norms([incoming])[0]
            witness.arrived = norm if witness.arrived is None else witness.arrived + norm

    def _choose(self, optimizer_index: int) -> _Witness | None:
        """The last trainable matrix: near the loss, it gets a gradient in every backward()."""
        trainable = [p for _, p in self._names.stepped(optimizer_index) if p.requires_grad]
        matrices = [p for p in trainable if p.dim() > 1]
        return _Witness((matrices or trainable)[-1]) if trainable else None


class _Witness:
    """What was seen of one parameter's gradient since the last step."""

    def __init__(self, parameter: torch.Tensor) -> None:
        self.parameter = parameter
        self.steps = -1
        self.begin_step()

    @property
    def backwards(self) -> int:
        return len(self.left)

    def begin_step(self) -> None:
        self.steps += 1
        self.left: list[torch.Tensor | None] = []
        self.arrived: torch.Tensor | None = None

    def kept(self) -> torch.Tensor | float:
        """1 if no backward() since the last step began with a cleared gradient, else 0."""
        found = [norm for norm in self.left if norm is not None]
        if len(found) < len(self.left):
            return 0.0
        return torch.stack(found).min() > 0
