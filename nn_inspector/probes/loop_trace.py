"""Notes what the loop does in its first steps, call by call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.probes.batch_writes import BatchWrites
from nn_inspector.probes.between_events import BetweenEvents, has_gradient
from nn_inspector.probes.call_facts import Makings, call_facts, function_name, is_noted, is_spread
from nn_inspector.probes.clipping import find_clip, find_unscaling
from nn_inspector.probes.fast_path import takes_fast_path_elsewhere
from nn_inspector.probes.graph_reach import GraphReach
from nn_inspector.probes.loss_calls import LOSS_FUNCTIONS, LossCall, loss_call, pop, push
from nn_inspector.probes.loss_numbers import loss_numbers
from nn_inspector.probes.origin import node_number, origin
from nn_inspector.probes.outputs import all_tensors, first_tensor
from nn_inspector.probes.probe import Removable, StepReader
from nn_inspector.probes.recorder import TRACED_STEPS, Phase, Recorder
from nn_inspector.probes.rescaling import Rescaling
from nn_inspector.probes.same_line import sign_of
from nn_inspector.probes.state_watch import StateWatch
from nn_inspector.probes.tape import ModuleCall
from nn_inspector.probes.tape_modules import ModuleCalls
from nn_inspector.probes.tape_recorder import TapeRecorder
from nn_inspector.probes.undoing import Undoing
from nn_inspector.probes.watch_mode import WatchMode
from nn_inspector.stats import shape_of

DETAILED_STEPS = 3
"""In so many first steps with a backward pass the facts that cost more are taken as well."""

_FUNCTIONS = 200
_OF_PARAMETERS = 20
_LISTED = 4096
"""So many functions are noted in a step, and so many that work on parameters alone."""

_SPREAD = 20
"""So many that meet a column with a row are noted in a step, whatever else it calls: a loop that plays many moves calls much."""


class LoopTrace(StepReader):
    """Keeps a function mode on torch's stack in the first steps, and notes what passes.

    The mode is off while the model runs, while an optimizer steps and while a loader makes a batch: what happens there is
    not the loop's. It is put there when the model has been called for the first time, so that a compiled model never
    meets it.

    Args:
        recorder: takes the entries.
        model: the user's network.
        optimizers: the watched ones; the list may grow.
        train_loader: the user's; of a list the batches are known.
        loss_fn: the user's loss, or None.

    Attributes:
        tape: how the loop computes its loss.
    """

    name = "trace"
    every_step = True
    arithmetic = nullcontext

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        train_loader: object,
        loss_fn: object = None,
    ) -> None:
        super().__init__(recorder)
        self._model = model
        self._listed = train_loader if isinstance(train_loader, list | tuple) else ()
        self._mode = WatchMode(self, recorder.schedule)
        self._between = BetweenEvents(recorder, optimizers)
        self._rescaling = Rescaling(recorder, optimizers)
        self._undoing = Undoing(recorder, optimizers)
        self._makings = Makings()
        self._hooks: list[Removable] = []
        self._forward_seen = self._retired = False
        self._alone: bool | None = None
        self._passes = 0
        self._backwards = 0
        self._detailed_steps = 0
        self._after_forward = False
        self._functions = 0
        self._of_parameters = 0
        self._spread = 0
        self._terms: list[tuple[int | None, str, float | None]] = []
        self._clipping: int | None = None
        self._reach = GraphReach()
        self._states = StateWatch(recorder, model)
        self._writes = BatchWrites(recorder)
        self.tape = TapeRecorder(
            recorder, model, loss_fn, train_loader, lambda: any(has_gradient(optimizer) for optimizer in optimizers)
        )
        self._modules = ModuleCalls(recorder, model, loss_fn, self.tape, self._first_part)

    def attach(self) -> None:
        self._hooks = [
            self._model.register_forward_pre_hook(self.hook(self._begin_forward), with_kwargs=True),
            self._model.register_forward_hook(self.hook(self._end_forward)),
        ]
        self._modules.attach()
        self._states.attach()
        self._writes.hand_out(all_tensors(self._listed[:_LISTED]))

    def detach(self) -> None:
        self._retire()
        super().detach()

    def handles(self) -> list[Removable]:
        return [*self._hooks, *self._modules.handles(), *self._states.handles()]

    @property
    def idle(self) -> bool:
        return self._retired

    @property
    def detailed(self) -> bool:
        """Whether the facts that cost more are taken."""
        return self.recorder.tracing and self._detailed_steps < DETAILED_STEPS

    # events

    def open(self) -> None:
        """From here on it is the loop that works."""
        if self._hooks and self._forward_seen and not self.recorder.suspended:
            push(self._mode)

    def open_between_steps(self) -> None:
        """From here on the loop works on something else than the loss: another network may run."""
        if self._alone is None and self._forward_seen:
            self._alone = not takes_fast_path_elsewhere(self._model)
        if self._alone:
            self.open()

    @property
    def _is_open(self) -> bool:
        return self._mode in torch.overrides._get_current_function_mode_stack()

    def close(self) -> None:
        """From here on it is not."""
        pop(self._mode)

    def fetch(self) -> None:
        """A loader is about to make a batch."""
        self.close()

    def batch(self, role: Phase, batch: Any) -> None:
        """A loader hands out a batch."""
        if not self.recorder.tracing or self.failure is not None:
            return
        self._between.look("batch")
        self.recorder.trace("batch", role=role)
        self._reach.new_round()
        self._states.new_round()
        if role == "train":
            self._makings.mark(all_tensors(batch), "target")
            self._writes.look("the loop")
            self._writes.hand_out(all_tensors(batch))
            self.open_between_steps()
            self.tape.safely(lambda: self.tape.batch(batch, seen=self._is_open))
        else:
            self.tape.safely(self.tape.other_batch)

    def before_step(self, optimizer_index: int) -> None:
        if self._retired:
            return
        self.close()
        if self._mode.failure is not None:
            raise self._mode.failure
        if self.recorder.tracing:
            self._between.look("step")
            self._writes.look("the loop")
            self._rescaling.step(optimizer_index)
            self.tape.accumulation.factor = self._rescaling.factor
            self._undoing.before_step(optimizer_index)

    def after_step(self, optimizer_index: int) -> None:
        if self._retired:
            return
        self._undoing.after_step(optimizer_index)
        self._reach.new_round()
        self._states.new_round()
        self._detailed_steps += self._backwards > 0
        self._passes = self._backwards = self._functions = self._of_parameters = self._spread = 0
        self._after_forward = False
        self._makings.clear()
        self._clipping = None
        if self.recorder.step + 1 < TRACED_STEPS:
            self.open_between_steps()
        self.tape.safely(lambda: self.tape.stepped(seen=self._is_open, optimizer=optimizer_index))
        if (self.tape.parts_are_called or not self._forward_seen) and not self._modules.has_parts:
            self._modules.attach_parts()
            self.tape.safely(self.tape.start_anew)
        if self.recorder.step + 1 >= TRACED_STEPS and self._forward_seen:
            self._retire()
            self._retired = True

    def _retire(self) -> None:
        self.close()
        for handle in self._hooks:
            handle.remove()
        self._hooks = []
        self._modules.detach()
        self._states.detach()

    def _begin_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.close()
        self._forward_seen = True
        if not self.recorder.tracing:
            return
        self._between.look("forward")
        self._undoing.forward()
        self._writes.look("the loop")
        if self._passes == 0 and self.detailed:
            self._makings.mark(all_tensors(self._listed[:_LISTED]), "target")
        first = first_tensor(args or list(kwargs.values()))
        self.recorder.trace(
            "forward",
            phase=self.recorder.phase,
            training=module.training,
            grad_enabled=torch.is_grad_enabled(),
            index=self._passes,
            input_shape=None if first is None else shape_of(first),
            input_dtype=None if first is None else str(first.dtype),
        )
        self._passes += 1
        self._makings.mark(all_tensors((args, kwargs)), "input")
        if self.recorder.phase == "train":
            self.tape.safely(self.tape.enter, ModuleCall("model"), args, kwargs)

    def _end_forward(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self.recorder.tracing:
            return
        self._after_forward = True
        self._writes.look("the model")
        self._makings.mark(all_tensors(output), "prediction")
        self.tape.safely(self.tape.leave, ModuleCall("model"), output)
        if self.detailed and self.recorder.phase == "train":
            self._makings.mark(module.parameters(), "parameters")
        self.open()

    def _first_part(self) -> None:
        """A part of the model has been called by hand: from its end on it is the loop that works."""
        if self._passes == 0 and self.recorder.tracing:
            self._forward_seen = True
            self.open()

    # calls

    def before_call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not self.recorder.tracing or not self.recorder.listening:
            return
        if func is torch.Tensor.backward:
            self._begin_backward(args[0])
            self.tape.safely(self.tape.backward, args[0])
        elif self.tape.recording:
            self.tape.safely(self.tape.before, args, kwargs)

    def after_call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        if not self.recorder.tracing or not self.recorder.listening:
            return
        if func is torch.Tensor.backward:
            self._between.note_gradients()
            self._rescaling.note_gradients()
            return
        if self.tape.recording:
            self.tape.safely(self.tape.called, func, args, kwargs, result)
        if self.detailed:
            self._makings.derive(args, kwargs, result)
        if func in LOSS_FUNCTIONS:
            self._note_loss(loss_call(func, args, dict(kwargs), result))
        else:
            name = function_name(func)
            self._note_clipping(name)
            if self._after_forward and self.detailed and self.recorder.phase == "train":
                self._note_function(name, args, kwargs, result)

    def _begin_backward(self, objective: torch.Tensor) -> None:
        self._between.look("backward")
        facts: dict[str, Any] = {"objective_shape": list(objective.shape), "reaches_back": self._reach.back(objective)}
        if self.detailed:
            value = float(objective.detach().to(torch.float64).mean())
            names = {number: name for number, name, _ in self._terms if number is not None}
            facts |= {"value": value, "origin": origin(objective, names), "sign": self._sign(objective, value)}
        self.recorder.trace("backward", **facts)
        self._backwards += 1
        self._terms = []
        self._after_forward = False
        self._clipping = None

    def _sign(self, objective: torch.Tensor, value: float) -> int:
        if len(self._terms) != 1 or self._terms[0][2] is None:
            return 0
        number, _, term = self._terms[0]
        return sign_of(objective, number, value, term or 0.0)

    def _note_loss(self, call: LossCall) -> None:
        facts = call.facts()
        if self.detailed and self.recorder.phase == "train":
            facts |= loss_numbers(call)
        self.recorder.trace(call.name, phase=self.recorder.phase, **facts)
        if self.recorder.phase == "train":
            value = facts.get("value")
            self._terms.append(
                (node_number(call.value.grad_fn), call.name, value if isinstance(value, float) else None)
            )

    def _note_function(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        if self._spread < _SPREAD and is_spread(name, args, result):
            self._spread += 1
            self.recorder.trace_beyond("function", **call_facts(name, args, kwargs, result, self._makings))
            return
        if self._functions >= _FUNCTIONS or not is_noted(name, result):
            return
        facts = call_facts(name, args, kwargs, result, self._makings)
        if set(facts["of"]) == {"parameters"}:  # type: ignore[arg-type]  # it is a list of texts
            self._of_parameters += 1
            if self._of_parameters > _OF_PARAMETERS:
                return
        self._functions += 1
        self.recorder.trace("function", **facts)

    def _note_clipping(self, name: str) -> None:
        explicit = find_unscaling(name)
        if explicit is not None:
            self.recorder.trace("unscale", explicit=explicit)
        clip = find_clip(name)
        if clip is not None and not (clip.kind == "value" and clip.frame == self._clipping):
            self._clipping = clip.frame if clip.kind == "value" else None
            self._rescaling.clips(clip)
            self.recorder.trace("clip", kind=clip.kind, limit=clip.limit, norm=clip.norm)
