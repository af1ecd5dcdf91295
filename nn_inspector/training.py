"""A training: the model, optimizers, loss and loaders of the user, and what is known of them."""

from __future__ import annotations

import functools
import inspect
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from nn_inspector.beginning import Beginning
from nn_inspector.errors import ArgumentError, ExperimentError, describe
from nn_inspector.optimizers import as_optimizers
from nn_inspector.probes import (
    Phase,
    Tape,
    TapeRecorder,
    group_name,
    label_parts,
    replay,
    replay_output,
    without_penalty,
)

Step = Callable[[nn.Module, Any], torch.Tensor]
Loop = Callable[..., Any] | Sequence[Callable[..., Any]]

INITIAL_WEIGHTS_LIMIT = 64 * 2**20
"""Bytes. The weights at the time of `watch()` are remembered, on the CPU, for models up to this size."""


_FIRST_STEPS = 20
"""A warm-up may begin with steps that change nothing; so many are looked at."""


class Training:
    """What the user handed to `watch()`, checked.

    Args:
        model: the network.
        optimizer: one optimizer, several in a list or a dict, or None to find them by their steps.
        loss_fn: a module or function of (prediction, target).
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
        _check_model(model)
        for name, value, advice in (
            ("loss_fn", loss_fn, "Pass a loss such as torch.nn.CrossEntropyLoss()."),
            ("step", step, "Pass a function of (model, batch) that returns the loss."),
        ):
            _check_callable(name, value, advice)
        _check_loader("train_loader", train_loader)
        _check_loader("val_loader", val_loader)
        self.model = model
        self.loss_fn = loss_fn
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.step = step
        self.loop = _as_functions(loop)
        self.optimizers: list[Optimizer] = []
        self.initial_rates: dict[str, float] = {}
        self.initial = _remember_weights(model)
        self.beginning = Beginning.of(model, self.loaders)
        self.stepped_elsewhere: set[str] = set()
        self.after_first_step: dict[str, torch.Tensor] | None = None
        self.recorded: TapeRecorder | None = None
        self._looks_at_first_step = _FIRST_STEPS
        for one in as_optimizers(optimizer):
            self.add_optimizer(one)

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """One more optimizer steps this model."""
        self.optimizers.append(optimizer)
        for index, group in enumerate(optimizer.param_groups):
            self.initial_rates[group_name(len(self.optimizers) - 1, index)] = float(group.get("lr", 0.0))

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
        if self.step is not None:
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
    def tape(self) -> Tape | None:
        """How the loop was seen to compute its loss; None where that is not known."""
        return self.recorded.tape if self.recorded is not None else None

    def _why_not_recorded(self) -> str:
        reason = self.recorded.reason if self.recorded is not None else None
        return f"It was watched, but cannot be repeated: {reason} " if reason is not None else ""

    def describe(self) -> dict[str, Any]:
        """What the training consists of, as plain data that JSON can hold."""
        parameters = [p for p in self.model.parameters() if not isinstance(p, UninitializedParameter)]
        return {
            "model": type(self.model).__name__,
            "parameters": sum(p.numel() for p in parameters),
            "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "modules": {name: type(module).__name__ for name, module in self.model.named_modules()},
            "own_parameters": {
                name: count for name, module in self.model.named_modules() if (count := _own_parameters(module))
            },
            "device": str(self.device),
            "loss_fn": _name(self.loss_fn),
            "optimizers": [self._describe_optimizer(optimizer) for optimizer in self.optimizers],
            "loaders": {phase: _describe_loader(loader) for phase, loader in self.loaders.items()},
            "torch": torch.__version__,
            "python": platform.python_version(),
        }

    def _describe_optimizer(self, optimizer: Optimizer) -> dict[str, Any]:
        names = {id(p): name for name, p in self.model.named_parameters()}
        return {
            "name": type(optimizer).__name__,
            "groups": [
                {
                    **{key: value for key, value in group.items() if isinstance(value, bool | int | float)},
                    "parameters": [names[id(p)] for p in group["params"] if id(p) in names],
                }
                for group in optimizer.param_groups
            ],
        }


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


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            "model",
            expected="a torch.nn.Module",
            got=describe(model),
            advice="Pass the network that you train, for example watch(model, optimizer).",
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ArgumentError(
            "model",
            expected="a module that Python runs",
            got="a TorchScript module, which takes no hooks",
            advice="Pass the module that you gave to torch.jit.script or torch.jit.trace, and train that one.",
        )
    parameters = list(model.parameters())
    if not parameters:
        raise ArgumentError(
            "model",
            expected="a network with parameters",
            got=f"{describe(model)} without any",
            advice="Pass the network that you train; a loss has no parameters and goes into loss_fn=...",
        )
    if all(p.is_meta for p in parameters):
        raise ArgumentError(
            "model",
            expected="parameters with values",
            got="parameters on the meta device, which have none",
            advice='Give them memory and values first, for example model.to_empty(device="cpu") and then initialize.',
        )


def _check_callable(name: str, value: object, advice: str) -> None:
    if isinstance(value, type):
        advice = f"Make an instance of it: {value.__name__}()."
    if value is not None and (isinstance(value, type) or not callable(value)):
        raise ArgumentError(name, expected="a function or module", got=describe(value), advice=advice)


def _as_functions(loop: object) -> tuple[Callable[..., Any], ...]:
    """The functions of the loop, each checked to be one that somebody has written."""
    if loop is None:
        return ()
    given: list[Any] = list(loop) if isinstance(loop, list | tuple) else [loop]
    functions = [function.func if isinstance(function, functools.partial) else function for function in given]
    for function in functions:
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            raise ArgumentError(
                "loop",
                expected="the function that trains, or a list of such functions",
                got=describe(function),
                advice="It is read, not called: pass the function itself, for example loop=train.",
            )
    if not functions:
        raise ArgumentError(
            "loop", expected="at least one function", got="an empty list", advice="Leave it out if there is none."
        )
    return tuple(functions)


def _check_loader(name: str, loader: object) -> None:
    if loader is None:
        return
    if not isinstance(loader, Iterable) or isinstance(loader, str | bytes | torch.Tensor):
        raise ArgumentError(
            name,
            expected="an iterable of batches",
            got=describe(loader),
            advice="Pass a torch.utils.data.DataLoader or a list of (input, target) batches.",
        )
    if isinstance(loader, Sized) and _length(loader) == 0:
        raise ArgumentError(
            name,
            expected="at least one batch",
            got="an empty loader",
            advice="Look at the length of its data set, and at drop_last with a batch size larger than the data.",
        )


def _length(loader: Sized) -> int | None:
    try:
        return len(loader)
    except TypeError:  # a DataLoader over an iterable data set has __len__ but no length
        return None


def _shared_parameters(optimizer: Optimizer, model: nn.Module) -> int:
    own = {id(p) for p in model.parameters()}
    return sum(id(p) in own for group in optimizer.param_groups for p in group["params"])


def _own_parameters(module: nn.Module) -> int:
    """How many numbers are trained in a module itself, without those of its parts."""
    own = module.parameters(recurse=False)
    return sum(parameter.numel() for parameter in own if not isinstance(parameter, UninitializedParameter))


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


def _describe_loader(loader: Iterable[Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": type(loader).__name__}
    if isinstance(loader, Sized):
        facts["batches"] = _length(loader)
    if isinstance(loader, DataLoader):
        facts["batch_size"] = loader.batch_size
        facts["sampler"] = type(loader.sampler).__name__
        facts["workers"] = loader.num_workers
        if isinstance(loader.dataset, Sized):
            facts["items"] = len(loader.dataset)
    return facts


def _name(function: object) -> str | None:
    if function is None:
        return None
    return getattr(function, "__name__", None) or type(function).__name__
