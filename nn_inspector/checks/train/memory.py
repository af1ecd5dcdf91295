"""How far back in a sequence the gradient of a recurrent layer reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, initial_state, isolated

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True, slots=True)
class Reach:
    """One recurrent layer.

    Attributes:
        name: of the module.
        by_place: size of the gradient of the loss at each place of the input sequence, first to last.
    """

    name: str
    by_place: list[float]

    @property
    def ratio(self) -> float:
        """The gradient at the first place over the largest."""
        largest = max(self.by_place, default=0.0)
        return self.by_place[0] / largest if largest > 0 else 1.0


def reaches(subject: Subject) -> list[Reach]:
    """The recurrent layers of a copy with its first weights.

    Raises:
        ExperimentError: no experiment is allowed or possible.
    """
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    inputs: dict[str, tuple[torch.Tensor, int]] = {}
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        for name, module in copied.model.named_modules():
            if isinstance(module, nn.RNNBase):
                module.register_forward_pre_hook(_tapped(inputs, name, module))
        if not any(isinstance(module, nn.RNNBase) for module in copied.model.modules()):
            return []
        copied.train_mode()
        loss = copied.loss(subject.batches()[0])
        if loss.requires_grad:
            loss.backward()
        return [
            Reach(name, _by_place(tensor.grad, axis))
            for name, (tensor, axis) in inputs.items()
            if tensor.grad is not None
        ]


def _tapped(inputs: dict[str, tuple[torch.Tensor, int]], name: str, module: nn.RNNBase) -> Callable[..., Any]:
    def tap(_module: nn.Module, args: tuple[Any, ...]) -> Any:
        if name in inputs or not isinstance(args[0], torch.Tensor) or args[0].dim() != 3:
            return None
        tapped = args[0].detach().clone().requires_grad_() if not args[0].requires_grad else args[0].clone()
        tapped.retain_grad()
        inputs[name] = (tapped, 1 if module.batch_first else 0)
        return (tapped, *args[1:])

    return tap


def _by_place(gradient: torch.Tensor, axis: int) -> list[float]:
    others = [one for one in range(gradient.dim()) if one != axis]
    return [float(value) for value in gradient.float().square().sum(others).sqrt()]


@torch.no_grad()
def keep_longer(copied: TrainingCopy) -> None:
    """Let the recurrent layers of a copy begin with weights that keep what they have read.

    Plain ones: orthogonal weights from place to place. With gates: biases that leave the gate to the past open.
    """
    for module in copied.model.modules():
        if not isinstance(module, nn.RNNBase):
            continue
        hidden = module.hidden_size
        for name, weight in module.named_parameters():
            if name.startswith("weight_hh") and module.mode.startswith("RNN"):
                nn.init.orthogonal_(weight)
            elif name.startswith("bias_hh") and module.mode in ("LSTM", "GRU"):
                weight[hidden : 2 * hidden] = 2.0  # the forget gate of an LSTM, the update gate of a GRU
