"""One pass of a copy without gradients: what the model is given, what it returns, and what the loss is called on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from nn_inspector.experiments.batch_contents import tensors_of
from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.probes import CallMode, LossCall

_OF_SHAPE = frozenset({"__get__", "__len__", "dim", "size", "numel", "stride", "is_floating_point", "is_complex"})
"""What a tensor is asked for and its numbers are not needed for; `__get__` is that of its properties."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What was seen in one pass.

    Attributes:
        inputs: for each call of the model, the tensors among its arguments that it computes with; all of them if it
            is not seen to compute with any. Given a whole batch, a model leaves the labels alone.
        blind: for each call of the model, whether it is not seen to compute with any.
        outputs: for each call of the model, what it returned.
        calls: of loss functions.
    """

    inputs: list[list[torch.Tensor]] = field(default_factory=list)
    blind: list[bool] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    calls: list[LossCall] = field(default_factory=list)


def one_pass(copied: TrainingCopy, batch: Any, *, training: bool = False) -> Pass:
    """Compute the loss of a copy on a batch, and note what it is made of.

    Args:
        copied: see `isolated`.
        batch: what the loader yields.
        training: in training mode, else in evaluation mode.

    Raises:
        ExperimentError: the batch does not fit.
    """
    seen = Pass()
    running: list[tuple[_Reading, contextlib.ExitStack]] = []

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        running.append((_Reading(list(tensors_of([args, kwargs]))), contextlib.ExitStack()))
        reading, stack = running[-1]
        stack.enter_context(reading)

    def after(_: nn.Module, _args: Any, output: Any) -> None:
        reading, stack = running.pop()
        stack.close()
        seen.inputs.append(reading.read)
        seen.blind.append(reading.blind)
        seen.outputs.append(output)

    handles = (
        copied.model.register_forward_pre_hook(before, with_kwargs=True),
        copied.model.register_forward_hook(after, always_call=True),
    )
    copied.train_mode()
    if not training:
        copied.model.eval()
    try:
        with torch.no_grad(), CallMode(seen.calls.append):
            copied.loss(batch)
    finally:
        for handle in handles:
            handle.remove()
        copied.train_mode()
    return seen


class _Reading(TorchFunctionMode):
    """Notes which of some tensors are computed with while it is on the stack."""

    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()
        self._given = given
        self._unread = {id(tensor) for tensor in given}

    @property
    def read(self) -> list[torch.Tensor]:
        """Those that were, or all if none was."""
        read = [tensor for tensor in self._given if id(tensor) not in self._unread]
        return [tensor.detach() for tensor in read or self._given]

    @property
    def blind(self) -> bool:
        """Whether none was."""
        return all(id(tensor) in self._unread for tensor in self._given)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._unread and func.__name__ not in _OF_SHAPE:
            self._unread.difference_update(id(tensor) for tensor in tensors_of([args, kwargs]))
        return func(*args, **kwargs)
