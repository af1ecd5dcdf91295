"""A training: the model, optimizers, loss and loaders of the user, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from nn_inspector.arguments import Loop, as_functions, as_loss, check_callable, check_loader, check_model
from nn_inspector.beginning import Beginning
from nn_inspector.description import description
from nn_inspector.errors import ExperimentError, describe
from nn_inspector.optimizers import as_optimizers
from nn_inspector.probes import (
    Clipping,
    Phase,
    Recording,
    Tape,
    TapeRecorder,
    group_name,
    label_parts,
    program_of,
    replay,
    replay_output,
    without_penalty,
)

Step = Callable[[nn.Module, Any], torch.Tensor]

INITIAL_WEIGHTS_LIMIT = 64 * 2**20
"""Bytes. The weights at the time of `watch()` are remembered, on the CPU, for models up to this size."""


_FIRST_STEPS = 20
"""A warm-up may begin with steps that change nothing; so many are looked at."""


class Training:
    """What the user handed to `watch()`, checked.

    Args:
        model: the network.
        optimizer: one optimizer, several in a list or a dict, or None to find them by their steps.
        loss_fn: a module or function of (prediction, target); None where the loop has several.
        train_loader, val_loader: iterables of batches.
        step: computes the loss of a batch, where `loss_fn(model(*inputs), target)` would not do.
        loop: the function, method or functions that make up the training loop; read, never called.

    Raises:
        ArgumentError: an argument is not what it should be; the message says what to do.

    Attributes:
        optimizers: those known so far.
        initial: the weights at the time of `watch()`, or None where they are too large to remember.
        initial_rates: learning rate of each parameter group when its optimizer became known.
        beginning: what else was remembered then.
        stepped_elsewhere: names of parameters that optimizers which are not watched have stepped.
        after_first_step: the weights after the first optimizer step that changed any, where `initial` is known; None before.
        loop: the functions whose source the checks of the loop read; empty where none were given.
        clipping: how the loop was seen to clip its gradients; None where it does not.
        recorded: how the loop was seen to compute its loss; None before it is watched.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer] | None = None,
        loss_fn: Callable[..., torch.Tensor] | None = None,
        *,
        train_loader: Iterable[Any] | None = None,
        val_loader: Iterable[Any] | None = None,
        step: Step | None = None,
        loop: Loop | None = None,
    ) -> None:
        check_model(model)
        check_callable("step", step, "Pass a function of (model, batch) that returns the loss.")
        check_loader("train_loader", train_loader)
        check_loader("val_loader", val_loader)
        self.model = model
        self.loss_fn = as_loss(loss_fn)
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.step = step
        self.loop = as_functions(loop)
        self.optimizers: list[Optimizer] = []
        self.initial_rates: dict[str, float] = {}
        self.initial = _remember_weights(model)
        self.beginning = Beginning.of(model, self.loaders)
        self.stepped_elsewhere: set[str] = set()
        self.after_first_step: dict[str, torch.Tensor] | None = None
        self.clipping: Clipping | None = None
        self.recorded: TapeRecorder | None = None
        self._looks_at_first_step = _FIRST_STEPS
        for one in as_optimizers(optimizer):
            self.add_optimizer(one)

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """One more optimizer steps this model."""
        self.optimizers.append(optimizer)
        for index, group in enumerate(optimizer.param_groups):
            self.initial_rates[group_name(len(self.optimizers) - 1, index)] = float(group.get("lr") or 0.0)

    def note_step(self) -> None:
        """An optimizer step is complete: the first one that changed a weight is remembered."""
        if self.initial is None or self.after_first_step is not None or not self._looks_at_first_step:
            return
        self._looks_at_first_step -= 1
        if any(_differs(p, self.initial.get(name)) for name, p in self.model.named_parameters()):
            self.after_first_step = _remember_weights(self.model)

    def note_other_step(self, optimizer: Optimizer) -> None:
        """An optimizer that is not watched makes a step, perhaps of this model."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.stepped_elsewhere.update(name for name, p in self.model.named_parameters() if id(p) in held)

    def owns(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer steps any parameter of this model."""
        return _shared_parameters(optimizer, self.model) > 0

    @property
    def loaders(self) -> dict[Phase, Iterable[Any]]:
        """The loaders that were given, by what they are for."""
        given: dict[Phase, Iterable[Any] | None] = {"train": self.train_loader, "validation": self.val_loader}
        return {phase: loader for phase, loader in given.items() if loader is not None}

    @property
    def device(self) -> torch.device:
        """Where the model's first parameter is."""
        return next(self.model.parameters()).device

    def loss(
        self, model: nn.Module, loss_fn: Callable[..., torch.Tensor] | None, batch: Any, *, penalty: bool = True
    ) -> torch.Tensor:
        """The loss of `model` on a batch, computed as the user's loop does.

        That is by `step` if it was given; else as the loop was seen to do it in its first steps; else by `loss_fn`.

        Args:
            model: the user's model or a copy of it.
            loss_fn: the user's loss or a copy of it.
            batch: what a loader yields, on any device.
            penalty: whether terms count that depend on the weights alone, as far as they are seen to be such.

        Returns:
            A scalar tensor with its graph.

        Raises:
            ExperimentError: the batch does not fit, or the result is no scalar; the message says what to do.
        """
        own = program_of(batch)
        if own is not None:
            tape = without_penalty(own) if not penalty else own
            loss = replay(tape, model, loss_fn, batch[1:])
        elif self.step is not None:
            loss = self.step(model, batch)
        elif self.tape is not None:
            loss = replay(self.tape if penalty else without_penalty(self.tape), model, loss_fn, batch)
        elif loss_fn is None:
            raise ExperimentError(
                f"It is not known how the loss is computed. {self._why_not_recorded()}Pass loss_fn=..., or step=... (a "
                "function of (model, batch) that returns the loss), to watch()."
            )
        else:
            inputs, target = split_batch(batch)
            loss = self._judge(loss_fn, model(*inputs), target)
        return _one_number(loss)

    def _judge(self, loss_fn: Callable[..., torch.Tensor], output: Any, target: Any) -> torch.Tensor:
        """By `loss_fn`, of an output as the model returns it.

        Where steps were made and it was not seen how, a loss of the user's own is given one column in the shape of its target: what
        the loop does itself, if the loss does not.
        """
        if self._has_stepped and _is_column_for(target, output) and not _is_of_torch(loss_fn):
            try:
                return loss_fn(output.reshape(target.shape), target)
            except (IndexError, RuntimeError, ValueError):
                pass  # the loss takes the column itself
        return loss_fn(output, target)

    @property
    def _has_stepped(self) -> bool:
        return self._looks_at_first_step < _FIRST_STEPS

    def output(self, model: nn.Module, batch: Any) -> Any:
        """What `model` returns for a batch, called as the loop was seen to do it, else with all parts but the last.

        Raises:
            ExperimentError: it is not known which part of the batch are the inputs.
        """
        own = program_of(batch)
        if own is not None:
            return replay_output(own, model, self.loss_fn, batch[1:])
        if self.tape is not None:
            return replay_output(self.tape, model, self.loss_fn, batch)
        return model(*split_batch(batch)[0])

    def judged(self, model: nn.Module, loss_fn: Callable[..., torch.Tensor], batch: Any) -> torch.Tensor:
        """What another loss than the loop's says of the model's output and the labels: the last part of the batch, or those of a dict.

        Raises:
            ExperimentError: the batch does not fit, it is not known which part are the labels, or the result is no scalar.
        """
        output = self.output(model, batch)
        labels = [part for _, part in label_parts(batch)] if isinstance(batch, Mapping) else []
        target = labels[0] if len(labels) == 1 else split_batch(batch)[1]
        return _one_number(loss_fn(output, target))

    @property
    def data(self) -> Iterable[Any]:
        """What experiments train with: train_loader, or without one the data of the loop's first steps, as they were recorded.

        Raises:
            ExperimentError: there is no loader and nothing that could stand for it; the message says why.
        """
        if self.train_loader is not None:
            return self.train_loader
        recording = self._recording
        if recording is None or recording.tape is None or self.step is not None:
            raise ExperimentError(
                f"There is no train_loader to take data from. {self._why_no_data()}Pass train_loader=... to watch()."
            )
        return recording.batches

    def _why_no_data(self) -> str:
        recording = self._recording
        if recording is None:
            return self._why_not_recorded()
        if recording.own_answers:
            return (
                "The steps of your loop were recorded, but the network has a hand in their data: how far a copy comes with "
                "them tells little of your training. "
            )
        return "The steps of your loop were recorded, but each is computed in a way of its own. "

    @property
    def moments(self) -> Sequence[Any]:
        """The recorded first steps of a loop without a loader, each to be used as a batch; empty where there are none.

        Another network, and this one later, may have met other data: they tell what a step does, not how far a training comes.
        """
        recording = self._recording
        return [] if recording is None or self.step is not None else recording.batches

    @property
    def makes_its_data(self) -> bool:
        """Whether the network has a hand in the data of the recorded steps, as in a game that it plays."""
        recording = self._recording
        return recording is not None and recording.own_answers

    @property
    def _recording(self) -> Recording | None:
        return self.recorded.steps_seen if self.recorded is not None else None

    @property
    def tape(self) -> Tape | None:
        """How the loop was seen to compute its loss; None where that is not known."""
        return self.recorded.tape if self.recorded is not None else None

    def _why_not_recorded(self) -> str:
        reason = self.recorded.reason if self.recorded is not None else None
        return f"It was watched, but cannot be repeated: {reason} " if reason is not None else ""

    def describe(self) -> dict[str, Any]:
        """What the training consists of, as plain data that JSON can hold."""
        return description(self.model, self.loss_fn, self.optimizers, self.loaders)


def _one_number(loss: object) -> torch.Tensor:
    if not isinstance(loss, torch.Tensor):
        raise ExperimentError(f"The loss should be a tensor with one number, but it is {describe(loss)}.")
    if loss.numel() != 1:
        raise ExperimentError(
            f"The loss should be one number, but it has shape {list(loss.shape)}. Reduce it, for example with "
            'loss.mean() or reduction="mean".'
        )
    return loss


def split_batch(batch: Any) -> tuple[tuple[Any, ...], Any]:
    """Inputs and target of a batch: the target is its last element.

    Raises:
        ExperimentError: the batch is a dict or holds fewer than two parts; the message names `step`.
    """
    if isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) >= 2:
        return tuple(batch[:-1]), batch[-1]
    if isinstance(batch, Mapping):
        problem = f"The loader yields {describe(batch)}, and which of them are inputs and target is not known."
        example = "step=lambda model, batch: loss_fn(model(batch['x']), batch['y'])"
    else:
        problem = f"The loader yields {describe(batch)}, not (input, target)."
        example = "step=lambda model, batch: loss_fn(model(batch), batch)"
    raise ExperimentError(f"{problem} Say how to compute the loss: watch(..., {example}).")


def _is_of_torch(loss_fn: object) -> bool:
    """Torch's own losses say themselves that two shapes do not fit, and it is seen what the loop gives them."""
    return isinstance(loss_fn, nn.modules.loss._Loss) or getattr(loss_fn, "__module__", None) == F.__name__


def _is_column_for(target: Any, output: Any) -> bool:
    if not isinstance(output, torch.Tensor) or not isinstance(target, torch.Tensor) or output.shape == target.shape:
        return False
    return output.squeeze(-1).shape == target.squeeze(-1).shape


def _shared_parameters(optimizer: Optimizer, model: nn.Module) -> int:
    own = {id(p) for p in model.parameters()}
    return sum(id(p) in own for group in optimizer.param_groups for p in group["params"])


def _remember_weights(model: nn.Module) -> dict[str, torch.Tensor] | None:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if any(isinstance(tensor, UninitializedParameter) for tensor in tensors.values()):
        return None
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > INITIAL_WEIGHTS_LIMIT:
        return None
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items() if not tensor.is_meta}


def _differs(parameter: torch.Tensor, before: torch.Tensor | None) -> bool:
    if parameter.is_meta:
        return False
    return before is None or before.shape != parameter.shape or not torch.equal(parameter.detach().cpu(), before)
