"""The proof that what is the user's came out of an experiment as it went in, and its repair if not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from nn_inspector.experiments.reach import reachable
from nn_inspector.stats import is_dense
from nn_inspector.training import INITIAL_WEIGHTS_LIMIT, Training

_MOST_BYTES = 2 * INITIAL_WEIGHTS_LIMIT
"""Of copies: weights and buffers, and as much of other networks and their optimizers."""

_Marks = dict[str, tuple[Any, ...]]


class Belongings:
    """The user's tensors, modes and settings at one moment.

    Tensors are remembered with their values, the smallest first, up to 128 MiB in all: what changed all the same can be
    put back.

    Args:
        training: the user's training.
        functions: what else an experiment calls of the user's: the networks that a loss uses, their gradients and their
            optimizers are the user's as well.
    """

    def __init__(self, training: Training, *functions: object) -> None:
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
        kept: dict[int, _Kept] = {}
        for name, tensor in _tensors_of(training):
            kept.setdefault(id(tensor), _Kept(name, tensor, is_own=True))
        for name, tensor in _tensors_reached(*functions):
            kept.setdefault(id(tensor), _Kept(name, tensor))
        self._kept = list(kept.values())
        room = _MOST_BYTES
        for one in sorted(self._kept, key=lambda one: one.size):
            room -= one.size
            if room >= 0:
                one.copy = one.memory.clone()

    def set_gradients_aside(self) -> None:
        """A loss that holds on to the original model then adds to gradients that are thrown away."""
        for kept in self._kept:
            if kept.is_leaf:
                kept.tensor.grad = None

    def restore(self) -> tuple[list[str], list[str]]:
        """Put everything back as it was.

        Returns:
            What had changed of the training but for gradients, in words; and whatever is still not as it was.
        """
        marks = _fingerprint(self._training)
        changed = {name for name in {**self._marks, **marks} if self._marks.get(name) != marks.get(name)}
        for module, mode, parameters, buffers in self._modules:
            module.training = mode
            module._parameters.update(parameters)
            module._buffers.update(buffers)
        for optimizer, groups in zip(self._training.optimizers, self._groups, strict=False):
            for group, before in zip(optimizer.param_groups, groups, strict=False):
                group.update(before)
        written = [kept for kept in self._kept if kept.put_back()]
        changed |= {kept.name for kept in written if kept.is_own}
        return sorted(changed), sorted({kept.name for kept in written if kept.copy is None})


class _Kept:
    """A tensor, what it held, and its gradient."""

    __slots__ = ("copy", "gradient", "is_leaf", "is_own", "memory", "name", "needs_gradient", "tensor", "version")

    def __init__(self, name: str, tensor: torch.Tensor, *, is_own: bool = False) -> None:
        self.name = name
        self.tensor = tensor
        self.is_own = is_own
        self.is_leaf = tensor.is_leaf and not tensor.is_inference()
        self.needs_gradient = tensor.requires_grad
        self.gradient = tensor.grad if self.is_leaf else None
        self.memory = tensor.detach()
        self.copy: torch.Tensor | None = None
        self.version = _version(tensor)

    @property
    def size(self) -> int:
        return self.tensor.numel() * self.tensor.element_size()

    @torch.no_grad()
    def put_back(self) -> bool:
        """Returns: whether it was written to."""
        if _place(self.tensor) != _place(self.memory):
            self.tensor.data = self.memory
        if self.is_leaf:
            if self.tensor.requires_grad != self.needs_gradient:
                self.tensor.requires_grad_(self.needs_gradient)
            self.tensor.grad = self.gradient
        # Batch normalization writes to its buffers without raising their version, and so does whoever writes to `.data`.
        is_same = (
            same_values(self.memory, self.copy) if self.copy is not None else _version(self.tensor) == self.version
        )
        if not is_same and self.copy is not None:
            self.memory.copy_(self.copy)
        return not is_same


def same_values(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers; NaN is the same as NaN."""
    if a.shape != b.shape:
        return False
    return torch.equal(a, b) or bool(torch.all((a == b) | ((a != a) & (b != b))))  # noqa: PLR0124 - NaN differs from itself


def _tensors_of(training: Training) -> Iterator[tuple[str, torch.Tensor]]:
    """What the training itself consists of, by name."""
    found: list[tuple[str, torch.Tensor]]
    found = [(f"parameter {name}", parameter) for name, parameter in training.model.named_parameters()]
    found += [(f"buffer {name}", buffer) for name, buffer in training.model.named_buffers()]
    return ((name, tensor) for name, tensor in found if _is_filled(tensor))


def _tensors_reached(*functions: object) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of other networks and optimizers, and those that are trained by themselves."""
    for found in reachable(*functions):
        held: list[tuple[str, torch.Tensor | None]] = []
        if isinstance(found, nn.Module):
            kind = type(found).__name__
            held = [(f"parameter {name} of {kind}", parameter) for name, parameter in found._parameters.items()]
            held += [(f"buffer {name} of {kind}", buffer) for name, buffer in found._buffers.items()]
        elif isinstance(found, Optimizer):
            state = [tensor for tensor in reachable(found.state) if isinstance(tensor, torch.Tensor)]
            held = [(f"state of {type(found).__name__}", tensor) for tensor in state]
        elif isinstance(found, torch.Tensor) and found.is_leaf and found.requires_grad:
            held = [(f"tensor of shape {list(found.shape)}", found)]
        yield from ((name, tensor) for name, tensor in held if tensor is not None and _is_filled(tensor))


def _is_filled(tensor: torch.Tensor) -> bool:
    return not isinstance(tensor, UninitializedParameter) and not tensor.is_meta and is_dense(tensor)


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    return (tensor.data_ptr(), tensor.shape, tensor.stride())


def _fingerprint(training: Training) -> _Marks:
    """Marks that change when a tensor is written to, replaced or frozen, or a mode is switched."""
    marks: _Marks = {}
    for name, parameter in training.model.named_parameters():
        marks[f"parameter {name}"] = (id(parameter), _version(parameter), parameter.requires_grad)
    for name, buffer in training.model.named_buffers():
        marks[f"buffer {name}"] = (id(buffer), _version(buffer))
    for name, module in training.model.named_modules():
        marks[f"mode of {name or 'the model'}"] = (module.training,)
    for index, optimizer in enumerate(training.optimizers):
        marks[f"optimizer {index}"] = tuple(
            tuple((key, value) for key, value in group.items() if isinstance(value, bool | int | float | tuple))
            for group in optimizer.param_groups
        )
    return marks
