"""A copy of the training to experiment on, and the proof that the user's own objects came out as they went in."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.batches import to_device
from nn_inspector.experiments.random_state import preserved_random_state
from nn_inspector.probes import group_name
from nn_inspector.training import Training

Start = Literal["now", "initial"]


@dataclass
class TrainingCopy:
    """Copies of a training's model, optimizers and loss, free to be changed."""

    training: Training
    model: nn.Module
    optimizers: list[Optimizer]
    loss_fn: Callable[..., torch.Tensor] | None

    def loss(self, batch: Any) -> torch.Tensor:
        """The loss of the copied model on a batch; what goes wrong in the user's code is said in one sentence.

        Raises:
            ExperimentError: the batch does not fit the model or the loss.
        """
        try:
            return self.training.loss(self.model, self.loss_fn, to_device(batch, self.training.device))
        except ExperimentError:
            raise
        except Exception as error:
            raise ExperimentError(
                f"The model or the loss could not be computed on a batch of train_loader "
                f"({type(error).__name__}: {_first_line(error)}). If your loop changes the batch first, show how: "
                "watch(..., step=lambda model, batch: loss)."
            ) from error


@contextlib.contextmanager
def isolated(training: Training, *, start: Start = "now", seed: int = 0) -> Iterator[TrainingCopy]:
    """Copy the training for the length of the block.

    Inside, all random generators are seeded with `seed`; afterwards they are as before. The gradients of the user's
    parameters are put aside meanwhile, so that a loss function that holds on to the original model cannot add to
    them.

    Args:
        training: the user's training.
        start: "now" for its present state, "initial" for its weights at the time of `watch()` with fresh optimizers.
        seed: for the experiment.

    Raises:
        ExperimentError: the training cannot be copied, or something of the user's changed in spite of all care.
    """
    copied = _copy(training)
    if start == "initial":
        _rewind(copied)
    before = _fingerprint(training)
    gradients = [(p, p.grad) for p in training.model.parameters()]
    with preserved_random_state(seed):
        try:
            for parameter, _ in gradients:
                parameter.grad = None
            yield copied
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient
    changed = [name for name, mark in _fingerprint(training).items() if before.get(name) != mark]
    if changed:
        raise ExperimentError(
            f"An experiment changed your own {', '.join(sorted(changed)[:3])}: the loss or step function works on the "
            "original model, not on the one it is given. Use its argument `model`."
        )


def initial_state(training: Training, steps: int) -> Start:
    """Where an experiment about the beginning can start from.

    Args:
        training: the user's training.
        steps: how many optimizer steps it has done.

    Raises:
        ExperimentError: it has moved on and its first weights are not known.
    """
    if steps == 0:
        return "now"
    if training.initial is None:
        raise ExperimentError(
            "The weights before the first step are not known: the model was too large to remember them. Build the "
            "model anew, call watch(), and run this check before training."
        )
    return "initial"


def _copy(training: Training) -> TrainingCopy:
    memo: dict[int, Any] = {}
    try:
        model, loss_fn = copy.deepcopy((training.model, training.loss_fn), memo)
        optimizers = [_copy_optimizer(optimizer, memo) for optimizer in training.optimizers]
    except Exception as error:
        raise ExperimentError(
            f"This training cannot be copied, so no experiment was made ({type(error).__name__}: "
            f"{_first_line(error)}). Check with copy.deepcopy(model) what is in the way."
        ) from error
    return TrainingCopy(training, model, optimizers, loss_fn)


def _copy_optimizer(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    """A copy for the copied parameters, with all attributes.

    `copy.deepcopy` of an optimizer goes through its state for pickling, which leaves out what a subclass adds (LBFGS
    does not run any more). Hooks stay behind, and so does the step that a scheduler has wrapped.
    """
    twin: Optimizer = object.__new__(type(optimizer))
    memo[id(optimizer)] = twin
    for name, value in vars(optimizer).items():
        if name.endswith("_hooks"):
            setattr(twin, name, type(value)())
        elif name != "step":
            setattr(twin, name, copy.deepcopy(value, memo))
    return twin


@torch.no_grad()
def _rewind(copied: TrainingCopy) -> None:
    weights = copied.training.initial
    assert weights is not None, "initial_state() has made sure of this"
    tensors = {**dict(copied.model.named_parameters()), **dict(copied.model.named_buffers())}
    if any(name not in tensors or tensors[name].shape != weight.shape for name, weight in weights.items()):
        raise ExperimentError("The model has other layers now than at the time of watch(). Call watch() again.")
    for name, weight in weights.items():
        tensors[name].copy_(weight)
        tensors[name].grad = None
    for index, optimizer in enumerate(copied.optimizers):
        optimizer.state.clear()
        for number, group in enumerate(optimizer.param_groups):
            if "lr" in group:
                group["lr"] = copied.training.initial_rates[group_name(index, number)]


def _fingerprint(training: Training) -> dict[str, tuple[Any, ...]]:
    """Marks that change when a tensor is written to, replaced or frozen, or a mode is switched."""
    marks: dict[str, tuple[Any, ...]] = {}
    for name, parameter in training.model.named_parameters():
        marks[f"parameter {name}"] = (id(parameter), parameter._version, parameter.requires_grad)
    for name, buffer in training.model.named_buffers():
        marks[f"buffer {name}"] = (id(buffer), buffer._version)
    for name, module in training.model.named_modules():
        marks[f"mode of {name or 'the model'}"] = (module.training,)
    for index, optimizer in enumerate(training.optimizers):
        marks[f"optimizer {index}"] = tuple(
            tuple((key, value) for key, value in group.items() if isinstance(value, bool | int | float | tuple))
            for group in optimizer.param_groups
        )
    return marks


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
