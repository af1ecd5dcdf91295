"""One pass of a copy without gradients: what the model is given, what it returns, and what the loss is called on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from nn_inspector.experiments.batch_contents import tensors_of
from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.probes import CallMode, LossCall


@dataclass(frozen=True, slots=True)
class Pass:
    """What was seen in one pass.

    Attributes:
        inputs: for each call of the model, the tensors among its arguments.
        outputs: for each call of the model, what it returned.
        calls: of loss functions.
    """

    inputs: list[list[torch.Tensor]] = field(default_factory=list)
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

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        seen.inputs.append([tensor.detach() for tensor in tensors_of([args, kwargs])])

    def after(_: nn.Module, _args: Any, output: Any) -> None:
        seen.outputs.append(output)

    handles = (
        copied.model.register_forward_pre_hook(before, with_kwargs=True),
        copied.model.register_forward_hook(after),
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
