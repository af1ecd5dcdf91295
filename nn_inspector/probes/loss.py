"""The value of the loss at every step, whether the loss is a module or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.loss_calls import CallMode, LossCall, pop, push
from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.probe import Removable, StepReader
from nn_inspector.probes.recorder import TRACED_STEPS, Recorder
from nn_inspector.probes.zeroing import ZeroingProbe

_FACTORS = 4
"""So many factors may stand between a loss and what backward() is called on."""


@dataclass(slots=True)
class _Backward:
    """What led to one call of backward(): the loss terms computed before it, and the tensor it was called on."""

    arrived_before: int | None = None
    terms: list[torch.Tensor | float] = field(default_factory=list)
    reduced: bool = True
    objective: torch.Tensor | float | None = None

    def value(self) -> torch.Tensor | float | None:
        if self.objective is None:
            return self.terms[0] if len(self.terms) == 1 else sum(self.terms) if self.terms else None
        return self.terms[0] if self.has_one_term else self.objective

    @property
    def has_one_term(self) -> bool:
        """Whether the loss is what one loss function returned; what the user reduces is the objective only."""
        return len(self.terms) == 1 and (self.reduced or self.objective is None)


class LossProbe(StepReader):
    """Reads the loss.

    A loss that is an `nn.Module` is read by a hook. Loss functions and `backward()` are seen by a torch function mode
    that is on the stack only from the end of the model's forward pass to the optimizer's step, so that few calls
    pass through it. In the first steps both are used; if backward() is always called on the very value that the
    loss module returned, or a multiple of it, the mode stays off from then on. The forward pass of a compiled model is
    not seen, and its hooks stay as they are; the hook on the loss module is then all there is.

    A backward() that brings the watched parameters no gradient, such as that of another network's loss, is left out. So is
    one whose gradients were cleared before the next one: no step followed it, as where a gradient scaler met Inf.

    Args:
        recorder: takes the measurements.
        model: the user's network.
        loss_fn: the user's loss, or None.
        zeroing: knows which backward() reached the watched parameters, and whether they were cleared before.
        are_cleared: whether no watched parameter has a gradient, for certain and without a wait for the device.
        on_pair: called with each prediction and target that the loss is computed of.
        on_validated: called at the end of each validation pass.

    Attributes:
        tells_apart: whether several backward() came before one step, so that it matters which of them reached the model.
    """

    name = "loss"
    every_step = True

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        loss_fn: object | None,
        zeroing: ZeroingProbe,
        are_cleared: Callable[[], bool],
        on_pair: Callable[[object, object], None],
        on_validated: Callable[[], None],
    ) -> None:
        super().__init__(recorder)
        self._model = model
        self._zeroing = zeroing
        self._are_cleared = are_cleared
        self._on_pair = on_pair
        self._on_validated = on_validated
        self._loss_module = loss_fn if isinstance(loss_fn, nn.Module) else None
        self._mode = CallMode(self._on_loss_call, self._on_backward, recorder.schedule)
        self._mode_handles: list[Removable] = []
        self._plain = self._loss_module is not None
        self._expected = True
        self._mode_seen = False
        self._forward_seen = False
        self._inside_module = False
        self._last_term: int | None = None
        self._backwards: list[_Backward] = [_Backward()]
        self._validation: list[tuple[torch.Tensor | float, int]] = []
        self._batch_size = 1
        self.tells_apart = False

    def attach(self) -> None:
        self._mode_handles = [self._model.register_forward_hook(self.hook(self._end_forward))]
        if self._loss_module is not None:
            self._mode_handles.append(self._loss_module.register_forward_pre_hook(self.hook(self._enter_module)))
            self.keep(self._loss_module.register_forward_hook(self.hook(self._leave_module)))

    def detach(self) -> None:
        self._retire_mode()
        super().detach()

    def handles(self) -> list[Removable]:
        return [*self._mode_handles, *super().handles()]

    def begin_forward(self, args: tuple[Any, ...]) -> None:
        """The model's forward pass begins: the loss that follows belongs to it."""
        if not self._forward_seen:
            self._backwards = [_Backward()]  # what the loss module returned before was another model's
        self._expected = self._forward_seen = True
        if self._mode_handles:
            self.close_window()
        if self.recorder.phase == "train":
            if self._validation:
                self.end_validation()
        else:
            first = first_tensor(args)
            self._batch_size = first.size(0) if first is not None and first.dim() else 1

    def close_window(self) -> None:
        """Take the function mode off the stack, if it is there."""
        pop(self._mode)

    def before_step(self, optimizer_index: int) -> None:
        if self._mode_handles:
            self.close_window()
        if self._mode.failure is not None:
            raise self._mode.failure

    def after_step(self, optimizer_index: int) -> None:
        backwards, self._backwards = self._backwards, [_Backward()]
        done = backwards if len(backwards) == 1 else self._of_this_model(backwards)
        self._expected = not self._forward_seen
        self._put("loss", [value for backward in done if (value := backward.value()) is not None])
        self._put("objective", [one.objective for one in done if one.objective is not None and one.has_one_term])
        if self._mode_handles and self._mode_seen and self._plain and self.recorder.step + 1 >= TRACED_STEPS:
            self._retire_mode()

    def end_validation(self) -> None:
        """Hand on the mean of the validation losses since the last training step, weighted by batch size."""
        batches, self._validation = self._validation, []
        if batches:
            items = sum(size for _, size in batches)
            self.recorder.record_scalar("loss", "validation", sum(value * size for value, size in batches) / items)
            self._on_validated()

    def _put(self, quantity: str, values: list[torch.Tensor | float]) -> None:
        if values:
            self.recorder.record_scalar(quantity, "train", _mean(values))

    def _retire_mode(self) -> None:
        """From now on the hook on the loss module is enough."""
        self.close_window()
        for handle in self._mode_handles:
            handle.remove()
        self._mode_handles = []

    def _end_forward(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self.recorder.phase == "train" or self._loss_module is None:
            self._mode_seen = push(self._mode)

    def _enter_module(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._inside_module = True

    def _leave_module(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._inside_module = False
        value = output if isinstance(output, torch.Tensor) else first_tensor(output)
        if value is not None and self._expected:
            if len(args) >= 2:
                self._on_pair(args[0], args[1])
            self._add_term(value)

    def _on_loss_call(self, call: LossCall) -> None:
        if not self.recorder.listening:
            return
        if not self._inside_module:
            self._plain = False
            self._on_pair(call.prediction, call.target)
            self._add_term(call.value)

    def _on_backward(self, objective: torch.Tensor) -> None:
        if not self.recorder.listening:
            return
        backward = self._backwards[-1]
        if len(backward.terms) != 1 or not _is_multiple(objective, self._last_term):
            self._plain = False
            backward.objective = _scalar(objective)
        if len(self._backwards) > 1 and self._are_cleared():
            self._backwards = [backward]
        backward.arrived_before = self._zeroing.arrivals
        self._backwards.append(_Backward())

    def _of_this_model(self, backwards: list[_Backward]) -> list[_Backward]:
        """Those that brought the watched parameters a gradient; all where none is known to have."""
        begun = [backward for backward in backwards if backward.arrived_before is not None]
        if len(begun) == 1:
            return begun
        self.tells_apart |= len(begun) > 1
        counts = [*(backward.arrived_before or 0 for backward in begun), self._zeroing.arrivals]
        cleared = self._zeroing.last_cleared
        reached = [
            b
            for b, before, after in zip(begun, counts[:-1], counts[1:], strict=True)
            if after > before and after >= cleared
        ]
        return reached or backwards

    def _add_term(self, value: torch.Tensor) -> None:
        if self.recorder.phase == "validation":
            self._validation.append((_scalar(value), self._batch_size))
            self._expected = False
            return
        if self._mode_handles and self._mode_seen:
            self._last_term = _node_number(value.grad_fn)
        else:  # backward() is not seen, but is known to follow each term
            if self._backwards[-1].terms:
                self._backwards.append(_Backward())
            self._backwards[-1].arrived_before = self._zeroing.arrivals
        self._backwards[-1].terms.append(_scalar(value))
        self._backwards[-1].reduced &= value.dim() == 0


def _is_multiple(objective: torch.Tensor, term: int | None) -> bool:
    """Whether the objective is the loss term itself, or the term times factors (accumulation, a gradient scaler).

    The term is known by the number of its node in the graph: holding the tensor would keep the whole graph alive.
    """
    node = objective.grad_fn
    for _ in range(_FACTORS + 1):
        if node is None or term is None:
            return False
        if _node_number(node) == term:
            return True
        if not node.name().startswith(("MulBackward", "DivBackward")):
            return False
        inputs = [source for source, _ in node.next_functions if source is not None]
        node = inputs[0] if inputs else None
    return False


def _node_number(node: Any) -> int | None:
    return int(node._sequence_nr()) if node is not None else None


def _scalar(value: torch.Tensor) -> torch.Tensor | float:
    """The value before an in-place operation can change it; the mean where it was not reduced."""
    if value.is_cpu and not value.dim():
        return value.item()
    value = value.detach()
    if value.dim():
        value = value.float().mean()
    return value.item() if value.is_cpu else value.to(torch.float32, copy=True)


def _mean(values: Sequence[torch.Tensor | float]) -> torch.Tensor | float:
    return values[0] if len(values) == 1 else sum(values) / len(values)
