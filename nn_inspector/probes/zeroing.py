"""Whether gradients are cleared between steps, and at the right place; and what is left of them at the step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Optimizer

from nn_inspector.probes.parameters import ParameterNames
from nn_inspector.probes.probe import Removable, StepReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.scaling import scale_at_step
from nn_inspector.probes.schedule import DENSE_STEPS
from nn_inspector.stats import is_plain, norms

_ENOUGH = DENSE_STEPS - 1
"""Of the steps that are all measured, the first one chooses the witness."""


class ZeroingProbe(StepReader):
    """Looks at one witness parameter of each optimizer whenever backward() is about to add to its gradient.

    If no backward() since the last step began with a cleared gradient, the step uses gradients of earlier steps. A
    gradient left over that is cleared before the last backward(), as in a GAN, does no harm and is not counted; nor
    is accumulation over several batches, whose first backward() begins cleared. The witness is chosen among those that
    got a gradient in the step before, and anew when it gets none: layers may be unused, or take turns.

    In measured steps of one process the witness also tells how much of its gradient is left between backward() and the step:
    clipping by the norm makes all gradients smaller by the same factor. A scaled loss makes it smaller as well.

    Where the latest steps all began cleared and had one backward() each, as in most loops, only measured steps are looked
    at from then on, until one is otherwise. A loop with a gradient scaler, which skips steps, is looked at all the time.

    Args:
        recorder: takes the measurements.
        names: of the parameters.
        is_needed: says whether `arrivals` must not miss a step.

    Attributes:
        arrivals: how often a backward() has reached a witness.
        last_cleared: the number of the last one, counted from 1, that met a cleared gradient: what came before it since the
            last step is in no step. 0 with several optimizers, of which each clears its own.
    """

    name = "zeroing"
    every_step = True

    def __init__(self, recorder: Recorder, names: ParameterNames, is_needed: Callable[[], bool]) -> None:
        super().__init__(recorder)
        self._names = names
        self._is_needed = is_needed
        self._resting = False
        self._usual_steps = 0
        self._witnesses: list[_Witness | None] = []
        self.arrivals = self.last_cleared = 0

    @property
    def idle(self) -> bool:
        return self._resting

    def expect_step(self) -> None:
        if self._resting:
            self._resting = False
            for witness in self._witnesses:
                self._hook(witness)

    def rest(self) -> None:
        usual = len(self._witnesses) == 1 and self._usual_steps >= _ENOUGH
        if usual and not self._is_needed() and scale_at_step() is None:  # a gradient scaler may skip a step at any time
            self._resting = True
            self._release()

    def add_optimizer(self, optimizer_index: int) -> None:
        self._witnesses.append(None)

    def detach(self) -> None:
        super().detach()
        if not self._resting:
            self._release()
        self._witnesses = []

    def before_step(self, optimizer_index: int) -> None:
        witness = self._witnesses[optimizer_index]
        if witness is not None and witness.backwards:
            self._judge(optimizer_index, witness)

    def after_step(self, optimizer_index: int) -> None:
        witness = self._witnesses[optimizer_index]
        if witness is None:
            self._choose(optimizer_index)
        elif witness.judged:
            witness.begin_step()
        elif witness.backwards:  # they ran inside step(closure)
            self._judge(optimizer_index, witness)
            witness.begin_step()
        else:
            self._choose(optimizer_index, instead_of=witness)

    def _judge(self, optimizer_index: int, witness: _Witness) -> None:
        """Record what the backward passes since the last step began with."""
        source, gradient = f"optimizer {optimizer_index}", witness.parameter.grad
        witness.judged = True
        kept = witness.kept()
        usual = witness.backwards == 1 and isinstance(kept, float) and not kept
        self._usual_steps = self._usual_steps + 1 if usual else 0
        self.recorder.record_scalar("kept_gradient", source, kept)
        if gradient is None:
            self.recorder.record("cleared_gradient", source, 1.0)
        elif self.recorder.due and witness.arrived is not None:
            norm = norms([gradient])[0]
            self.recorder.record_scalar("cleared_gradient", source, _number((norm == 0) & (witness.arrived > 0)))
            if witness.made is not None:
                self.recorder.record_scalar("gradient_left", source, _number(norm / witness.made))

    def _on_backward(self, witness: _Witness, incoming: torch.Tensor) -> None:
        self.arrivals += 1
        gradient = witness.parameter.grad
        left = None if gradient is None else norms([gradient])[0]
        witness.left.append(left)
        if len(self._witnesses) == 1 and (left is None or (left.is_cpu and not left)):
            self.last_cleared = self.arrivals
        if self.recorder.due:
            norm = norms([incoming])[0]
            witness.arrived = norm if witness.arrived is None else witness.arrived + norm
            if self.recorder.ranks is None and (gradient is None or gradient.layout is incoming.layout):
                witness.made = norm if gradient is None else norms([gradient + incoming])[0]

    def _choose(self, optimizer_index: int, instead_of: _Witness | None = None) -> None:
        """The last matrix that has a gradient, or the last one before that which failed as a witness."""
        trainable = [p for _, p in self._names.stepped(optimizer_index) if p.requires_grad]
        arrived = [p for p in trainable if p.grad is not None] or trainable
        candidates = [p for p in arrived if p.dim() > 1] or arrived
        if not candidates:
            return
        chosen = candidates[-1]
        if instead_of is not None:
            instead_of.release()
            order = {id(p): place for place, p in enumerate(trainable)}
            failed = order.get(id(instead_of.parameter), 0)
            chosen = next((p for p in reversed(candidates) if order[id(p)] < failed), chosen)
        self._witnesses[optimizer_index] = witness = _Witness(chosen)
        self._hook(witness)

    def _hook(self, witness: _Witness | None) -> None:
        if witness is not None:
            witness.begin_step()
            witness.handle = witness.parameter.register_hook(self.hook(self._on_backward, witness))

    def _release(self) -> None:
        for witness in self._witnesses:
            if witness is not None:
                witness.release()


class _Witness:
    """What was seen of one parameter's gradient since the last step."""

    handle: Removable

    def __init__(self, parameter: torch.Tensor) -> None:
        self.parameter = parameter
        self.begin_step()

    @property
    def backwards(self) -> int:
        return len(self.left)

    def begin_step(self) -> None:
        self.judged = False
        self.left: list[torch.Tensor | None] = []
        self.arrived: torch.Tensor | None = None
        self.made: torch.Tensor | None = None

    def kept(self) -> torch.Tensor | float:
        """1 if no backward() since the last step began with a cleared gradient, else 0."""
        found = [norm for norm in self.left if norm is not None]
        if len(found) < len(self.left):
            return 0.0
        return _number(torch.stack(found).min() > 0)

    def release(self) -> None:
        """Take the hook off; the parameter is as it was before."""
        self.handle.remove()
        if not self.parameter._backward_hooks:
            self.parameter._backward_hooks = None


def _number(value: torch.Tensor) -> torch.Tensor | float:
    """As a number where that is at hand: nothing waits for a device."""
    return float(value) if value.is_cpu else value


def is_cleared(optimizer: Optimizer) -> bool:
    """Whether none of its parameters has a gradient, or only zeros, for certain: nothing waits for a device."""
    gradients = (p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
    return all(gradient.is_cpu and is_plain(gradient) and not bool(gradient.any()) for gradient in gradients)
