"""The proof that the user's model and optimizers came out of an experiment as they went in, and their repair if not."""

from __future__ import annotations

from typing import Any

import torch

from nn_inspector.training import INITIAL_WEIGHTS_LIMIT, Training

_Marks = dict[str, tuple[Any, ...]]


class Belongings:
    """The user's tensors, modes and settings at one moment.

    Buffers are remembered with their values, and parameters as well up to 64 MiB: what changed all the same can be put
    back.

    Args:
        training: the user's training.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._marks = _fingerprint(training)
        self._modules = [
            (module, module.training, dict(module._parameters), dict(module._buffers))
            for module in training.model.modules()
        ]
        self._groups = [
            [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
            for optimizer in training.optimizers
        ]
        self._gradients = [(p, p.grad, p.requires_grad) for p in training.model.parameters()]
        parameters = dict(training.model.named_parameters())
        size = sum(p.numel() * p.element_size() for p in parameters.values())
        self._weights = [(p, p.detach().clone()) for p in parameters.values() if size <= INITIAL_WEIGHTS_LIMIT]
        self._buffers = [(name, b, b.detach().clone()) for name, b in training.model.named_buffers()]

    def set_gradients_aside(self) -> None:
        """A loss that holds on to the original model then adds to gradients that are thrown away."""
        for parameter, _, _ in self._gradients:
            parameter.grad = None

    def restore(self) -> list[str]:
        """Put everything back as it was.

        Returns:
            What had changed but for gradients, in words.
        """
        marks = _fingerprint(self._training)
        changed = {name for name in {**self._marks, **marks} if self._marks.get(name) != marks.get(name)}
        # Batch normalization writes to its buffers without raising their version.
        changed |= {f"buffer {name}" for name, buffer, value in self._buffers if not same_values(buffer, value)}
        for parameter, gradient, needs_gradient in self._gradients:
            if parameter.requires_grad != needs_gradient:
                parameter.requires_grad_(needs_gradient)
            parameter.grad = gradient
        if changed:
            self._repair()
        return sorted(changed)

    @torch.no_grad()
    def _repair(self) -> None:
        for module, mode, parameters, buffers in self._modules:
            module.training = mode
            module._parameters.update(parameters)
            module._buffers.update(buffers)
        for tensor, value in [*self._weights, *((buffer, value) for _, buffer, value in self._buffers)]:
            if tensor.shape == value.shape and not same_values(tensor, value):
                tensor.copy_(value)
        for optimizer, groups in zip(self._training.optimizers, self._groups, strict=False):
            for group, before in zip(optimizer.param_groups, groups, strict=False):
                group.update(before)


def same_values(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers; NaN is the same as NaN."""
    return a.shape == b.shape and bool(torch.all((a == b) | ((a != a) & (b != b))))  # noqa: PLR0124 - NaN differs from itself


def _fingerprint(training: Training) -> _Marks:
    """Marks that change when a tensor is written to, replaced or frozen, or a mode is switched."""
    marks: _Marks = {}
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
