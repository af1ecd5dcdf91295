"""Predictions and targets that are flattened in different orders, so that each meets what belongs to another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from nn_inspector.experiments import TrainingCopy, batch_size
from nn_inspector.experiments.batch_contents import select
from nn_inspector.history import Remedy
from nn_inspector.probes import CallMode, LossCall

_CLASS_LOSSES = frozenset({"cross_entropy", "nll_loss"})
_VIEWS = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward")
_LOOKED_AT = 6
_CHANGED = 1e-6
_MOSTLY = 0.5
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Flattened:
    """How predictions and targets miss each other.

    Attributes:
        how: "classes" are not the last axis of what was flattened, or were the last and are called the second one ("axes"), or
            numbers of "items" lie in another order than their targets.
        shape: of what was flattened or given another shape, where that is known.
        columns: how many classes there are, or columns of the prediction.
        apart: of the targets of an item the share that meets predictions of other items.
    """

    how: Literal["classes", "axes", "items"]
    shape: tuple[int, ...]
    columns: int
    apart: float


def flattened_apart(copied: TrainingCopy, batch: Any) -> Flattened | None:
    """Look at what the loss is called on, in evaluation mode; None if each prediction meets its own target.

    Scores [N, C] are a mix of positions if they are a view of [B, C, ...]: the classes would have to be last. So are scores
    [B, C, ...] that are a view of [..., C]. Of items it is seen by exchanging one for another: the targets that change must be among those whose predictions do.

    Raises:
        ExperimentError: the batch does not fit.
    """
    copied.model.eval()
    try:
        call = _call(copied, batch)
        if call is None:
            return None
        mixed = _mixed_classes(call) or _mixed_axes(call)
        return mixed if mixed is not None else _crossed_items(copied, batch, call)
    finally:
        copied.train_mode()


def said_of(found: Flattened) -> tuple[str, Remedy]:
    """In words, with what to do about it."""
    if found.how == "classes":
        axes = ", ".join(str(axis) for axis in (0, *range(2, len(found.shape)), 1))
        return (
            f"No: scores of shape {list(found.shape)} are flattened to [..., {found.columns}], but their classes lie on axis 1: "
            "each row is a mix of neighbouring positions, and meets the label of another one."
        ), Remedy(
            "Move the classes to the end before you flatten, or give the loss both as they are.",
            f"loss = loss_fn(scores.permute({axes}).reshape(-1, {found.columns}), labels.flatten())\n"
            "loss = loss_fn(scores, labels)  # CrossEntropyLoss takes [items, classes, ...] and [items, ...]",
        )
    if found.how == "axes":
        return (
            f"No: scores of shape {list(found.shape)} are given another shape with their {found.columns} classes on axis 1 by view() or "
            "reshape(). That moves no number: scores of one position are taken for those of others."
        ), Remedy(
            "Move the axis instead.",
            "scores = scores.transpose(1, 2)  # [batch, time, classes] becomes [batch, classes, time]\n"
            "scores = scores.permute(0, 3, 1, 2)  # of images",
        )
    return (
        f"No: the predictions lie in another order than the targets, as after a view() or reshape() of swapped axes. {found.apart:.0%} of "
        "the targets of an item meet predictions for other items."
    ), Remedy(
        "Bring both to the same order of axes before you give them another shape.",
        "scores = scores.transpose(0, 1)  # [time, batch, classes] becomes [batch, time, classes], as the labels are\n"
        "loss = loss_fn(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1))",
    )


def _call(copied: TrainingCopy, batch: Any) -> LossCall | None:
    calls: list[LossCall] = []
    with CallMode(calls.append):
        copied.loss(batch)
    return calls[0] if len(calls) == 1 and isinstance(calls[0].target, torch.Tensor) else None


def _mixed_classes(call: LossCall) -> Flattened | None:
    scores, target = call.prediction, call.target
    if call.name not in _CLASS_LOSSES or scores.dim() != 2 or target.shape != scores.shape[:1]:
        return None
    shape, columns = _shape_before(scores), scores.shape[1]
    if len(shape) < 3 or shape[1] != columns or shape[-1] == columns or len(scores) == shape[0]:
        return None  # the last: there is one position for each item, as behind a pooling over the whole image
    return Flattened("classes", shape, columns, 1.0)


def _mixed_axes(call: LossCall) -> Flattened | None:
    scores, target = call.prediction, call.target
    if call.name not in _CLASS_LOSSES or scores.dim() < 3 or target.shape != (scores.shape[0], *scores.shape[2:]):
        return None
    shape, columns = _shape_before(scores), scores.shape[1]
    positions = scores[0, 0].numel()
    last = len(shape) > 1 and shape[-1] == columns and shape != scores.shape
    return Flattened("axes", shape, columns, 1.0) if last and positions > 1 and columns > 1 else None


def _shape_before(scores: torch.Tensor) -> tuple[int, ...]:
    """Of what the scores are a view of; empty if they are none."""
    node = scores.grad_fn
    if node is not None and node.name().startswith("LogSoftmaxBackward"):
        node = node.next_functions[0][0]
    if node is None or not node.name().startswith(_VIEWS):
        return ()
    return tuple(int(size) for size in getattr(node, "_saved_self_sym_sizes", ()))


def _crossed_items(copied: TrainingCopy, batch: Any, call: LossCall) -> Flattened | None:
    items = batch_size(batch)
    rows = call.prediction.shape[0] if call.prediction.dim() else 0
    alike = call.prediction.shape == call.target.shape
    if items < 3 or rows % items or call.target.shape[:1] != (rows,) or (rows == items and not alike):
        return None
    moved = _moved_numbers if alike else _moved
    again = _call(copied, batch)
    if again is None or bool(moved(call.prediction, again.prediction).any()):
        return None  # something is drawn anew at each call
    apart: list[float] = []
    for place in range(min(items, _LOOKED_AT)):
        chosen = torch.arange(items)
        chosen[place] = (place + items // 2) % items
        other = _call(copied, select(batch, chosen, items))
        if other is None or other.prediction.shape != call.prediction.shape or other.target.shape != call.target.shape:
            return None
        predicted, wanted = moved(call.prediction, other.prediction), moved(call.target, other.target)
        if int(predicted.sum()) < int(wanted.sum()) * _MOSTLY:
            return None
        if int(wanted.sum()) >= _FEWEST:
            apart.append(float((wanted & ~predicted).sum() / wanted.sum()))
    columns = call.prediction.shape[1] if call.prediction.dim() > 1 else 1
    return Flattened("items", (), columns, min(apart)) if len(apart) > 1 and min(apart) > _MOSTLY else None


def _moved(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Which rows are not the same: bool [rows]."""
    return _moved_numbers(one, other).reshape(len(one), -1).any(1)


@torch.no_grad()
def _moved_numbers(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Which numbers are not the same: bool, in their shape."""
    if not one.is_floating_point():
        return one != other
    return (one - other).abs() > _CHANGED * (1e-30 + float(one.abs().max()))
