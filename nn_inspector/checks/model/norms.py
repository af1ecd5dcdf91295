"""Normalizations in a network: where they stand, what they are made of, and copies without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.checks.train.levels import Judgement, LossLevels, judge
from nn_inspector.checks.train.standing import MUCH, POOR
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of
from nn_inspector.experiments.rewiring import Spot
from nn_inspector.probes import CallMode, LossCall

HASTY = 0.5
"""Momentum from which on batch normalization remembers three batches or fewer: (2 - m) / m batches count. Torch's own is 0.1,
which other frameworks call 0.9."""

CLEARLY = 0.15
"""So much of the whole way has to be lost in evaluation mode, where most of it is not. Sound trainings lose up to 0.01."""

_TIMES = 3
"""And so many times as much must be left to learn as with statistics that are right."""

_DECISIONS = 0.05
"""And so much smaller must the share of right decisions be, where classes are predicted."""

_BEFORE: frozenset[Kind] = frozenset({"move", "affine", "dropout", "join"})


@dataclass(frozen=True, slots=True)
class Norm:
    """One call of a normalization.

    Attributes:
        spot: which call it is.
        where: the module that makes it.
        values: batch normalization in training: of how many numbers each mean is made; 0 for all others.
        odd: what is unusual about its place or its axes, in a few words; None if nothing is.
        dropout: the call of a dropout right before it; None if there is none.
    """

    spot: Spot
    where: str
    values: int
    odd: str | None
    dropout: Spot | None = None


def norms_of(seen: Anatomy) -> list[Norm]:
    """The normalizations of a pass in training mode, in order."""
    flow = flow_of(seen)
    return [
        Norm(
            (node.call.name, node.turn),
            node.call.module or "the model",
            _values(node),
            _odd(flow, node),
            _dropout(flow, node),
        )
        for node in flow.of("norm")
        if node.call.inputs and node.call.name != "normalize"
    ]


def group_norm_instead(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """Each item by itself: what does not depend on the others in the batch. Takes the arguments of `F.batch_norm`."""
    names = ("input", "running_mean", "running_var", "weight", "bias")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return F.group_norm(given["input"], 1, given.get("weight"), given.get("bias"))


def nothing_instead(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """The values as they came."""
    data: torch.Tensor = args[0] if args else kwargs["input"]
    return data


def busy_loss(copied: TrainingCopy, batches: Sequence[Any]) -> float:
    """The loss of a copy in training mode, as `judge` takes it in evaluation mode; its statistics are put back."""
    kept = {name: buffer.clone() for name, buffer in copied.model.named_buffers()}
    found = []
    copied.train_mode()
    for batch in batches:
        calls: list[LossCall] = []
        with torch.no_grad(), CallMode(calls.append):
            loss = copied.loss(batch)
        found.append(float(calls[0].value.detach().mean()) if len(calls) == 1 else float(loss))
    with torch.no_grad():
        for name, buffer in copied.model.named_buffers():
            buffer.copy_(kept[name])
    return sum(found) / len(found)


def quietly(copied: TrainingCopy, batches: Sequence[Any]) -> Judgement:
    """How a copy does in evaluation mode."""
    seen = [judge(copied, batch) for batch in batches]
    right = [one.right for one in seen if one.right is not None]
    loss = sum(one.loss for one in seen) / len(seen)
    return Judgement(loss, sum(right) / len(right) if right else None)


def hasty_norms(model: nn.Module) -> dict[str, float]:
    """The momentum of each batch normalization that remembers hardly more than the last batch, by its name.

    Example:
        >>> hasty_norms(nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=0.99)))
        {'1': 0.99}
    """
    return {
        name: float(module.momentum)
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and module.track_running_stats
        and module.momentum is not None
        and module.momentum >= HASTY
    }


def count_anew(copied: TrainingCopy, batches: Sequence[Any], *, dropout: bool) -> None:
    """Let the batch normalizations of a copy take their statistics anew from these batches.

    Args:
        copied: whose.
        batches: each counts alike.
        dropout: whether dropout is on meanwhile, as in training.
    """
    copied.train_mode()
    for module in copied.model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            module.reset_running_stats()
            module.momentum = None
            module.train()
        elif isinstance(module, nn.modules.dropout._DropoutNd) and not dropout:
            module.eval()
    with torch.no_grad():
        for batch in batches:
            copied.loss(batch)


def _values(node: Node) -> int:
    """Of how many numbers a batch normalization makes each mean, if it does not use running ones."""
    data = node.call.inputs[0]
    busy = node.call.options.get("training", node.call.options.get("5", False))
    return data.numel() // max(1, data.shape[1]) if node.call.name == "batch_norm" and busy and data.dim() > 1 else 0


def _dropout(flow: Flow, node: Node) -> Spot | None:
    before = [one for one in flow.before(node, {"move", "affine"}) if one is not None and one.kind == "dropout"]
    return (before[0].call.name, before[0].turn) if before and node.call.name == "batch_norm" else None


def _odd(flow: Flow, node: Node) -> str | None:
    if all(one is None for one in flow.before(node, _BEFORE)) and node.call.name != "batch_norm":
        return "it is the first thing that happens to the input, and takes the level and the size of each item away"
    layers = flow.of("layer", "recurrent", "attention")
    if layers and layers[-1].place < node.place and node in flow.after(layers[-1], _BEFORE) and not flow.next(node):
        return "it is the last thing that happens to the output, which can then only be of a certain size"
    shape = node.call.options.get("normalized_shape", node.call.options.get("1", ()))
    if node.call.name == "layer_norm" and len(shape) > 1:
        return f"it takes the mean over {len(shape)} axes at once, of shape {list(shape)}"
    return None


def far(levels: LossLevels, good: Judgement, bad: Judgement) -> bool:
    """Whether one is so much further on the way from chance to the least possible loss that the other has missed it."""
    there, here = levels.progress(good.loss), levels.progress(bad.loss)
    if there < MUCH:
        return False
    if here <= there - MUCH and here <= POOR * there:
        return True
    unsure = good.right is not None and bad.right is not None and bad.right > good.right - _DECISIONS
    return here <= there - CLEARLY and 1 - there <= (1 - here) / _TIMES and not unsure
