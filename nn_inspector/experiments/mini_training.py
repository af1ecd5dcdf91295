"""A short, seeded training of a copy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.batch_contents import check_count
from nn_inspector.experiments.closures import Stepper
from nn_inspector.experiments.isolation import TrainingCopy

_HUGE = 1e9
"""No training has weights as large as these and is not lost: products of a few layers overflow float32."""


def evaluate(copied: TrainingCopy, batch: Any) -> float:
    """The loss on a batch in evaluation mode, without a gradient."""
    copied.model.eval()
    try:
        with torch.no_grad():
            return float(copied.loss(batch))
    finally:
        copied.train_mode()


def train(
    copied: TrainingCopy,
    batches: Sequence[Any],
    *,
    steps: int,
    judge: Any = None,
    measure: Callable[[TrainingCopy, Any], float] = evaluate,
    zero_grad: bool = True,
    before_step: Callable[[TrainingCopy], None] | None = None,
    deadline: float = math.inf,
    until: float = -math.inf,
) -> list[float]:
    """Train a copy and return the loss before training and after each step.

    Args:
        copied: what to train.
        batches: used in turn, over and over.
        steps: how many optimizer steps.
        judge: the batch on which the loss is taken; the training batch's own loss if None.
        measure: takes the loss on `judge`; in evaluation mode by default.
        zero_grad: whether gradients are cleared before each backward().
        before_step: called with gradients in place, for what a loop does there (clipping).
        deadline: `time.monotonic()` at which to stop early.
        until: stop early once the loss is at or below this.

    Returns:
        At most steps + 1 losses; it ends where a loss is not finite, which counts as Inf where it refuses to be computed: of NaN
        `BCELoss` raises.

    Raises:
        ArgumentError: `steps` is no number from 1.
        ExperimentError: the batches do not fit, or an optimizer fails.
    """
    check_count("steps", steps)
    losses: list[float] = []
    steppers = [Stepper(optimizer) for optimizer in copied.optimizers]
    copied.train_mode()
    try:
        for step in range(steps + 1):
            batch = batches[step % len(batches)]
            if judge is not None:
                losses.append(measure(copied, judge))
            if step == steps and judge is not None:
                break
            loss = _backward(copied, batch, zero_grad)
            if judge is None:
                losses.append(float(loss))
            if step == steps or not until < losses[-1] < math.inf or time.monotonic() > deadline:
                break
            if before_step is not None:
                before_step(copied)
            for stepper in steppers:
                stepper.step(lambda batch=batch: _backward(copied, batch, zero_grad))  # type: ignore[misc]
    except ExperimentError:
        if not losses or not _are_lost(copied.model):
            raise
        losses.append(math.inf)
    return losses


def _are_lost(model: nn.Module) -> bool:
    """Whether weights are not finite, or so large that products of them are not."""
    return not all(bool((one.detach().abs() < _HUGE).all()) for one in model.parameters())


def without_regularization(copied: TrainingCopy) -> None:
    """Switch off dropout and weight decay in a copy."""
    for module in copied.model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            setattr(module, "dropout", 0.0)  # noqa: B010 - recurrent and attention layers have it as a number
    set_option(copied, "weight_decay", 0.0)


def set_option(copied: TrainingCopy, name: str, value: float) -> None:
    """Set a setting of every parameter group that has it."""
    for optimizer in copied.optimizers:
        for group in optimizer.param_groups:
            if name in group:
                group[name] = value


def _backward(copied: TrainingCopy, batch: Any, zero_grad: bool) -> torch.Tensor:
    if zero_grad:
        for optimizer in copied.optimizers:
            optimizer.zero_grad()
    loss = copied.loss(batch)
    if not loss.requires_grad:
        raise ExperimentError(
            "The loss does not depend on any parameter that needs a gradient, so nothing can be trained. Look for "
            "detach(), no_grad() or requires_grad=False in the model and the loss."
        )
    copied.backward(loss)
    return loss.detach()
