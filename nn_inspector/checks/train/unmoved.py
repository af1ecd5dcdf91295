"""A rate so low that the weights are still those that were drawn, told without an experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.model.fresh import looks_fresh

VERY_LOW = 1e-5
"""A network that begins with drawn weights is trained at rates a hundred times as high."""

STILL = 0.02
"""Share of its size that each weight matrix moved at most, over the whole run."""

EFFECT = 0.1
"""Share of a layer's output that such a move is worth at most, were it in the direction of the input: share of its size times
the root of the number of inputs."""

ENOUGH_STEPS = 100
_WARM_UP = 0.5


def hardly_moved(subject: Subject, rates: Mapping[str, float]) -> float | None:
    """How far the weight matrix that moved most did, as a share of its size, where that is next to nothing.

    Args:
        subject: training and run.
        rates: the largest rate of each parameter group, by `group_name`.

    Returns:
        None where it is more, or may yet become more: the rates are usual ones or rise, few steps were made, the weights were not
        drawn just before the training, or no weight moved at all, which has other causes.
    """
    training, run = subject.training, subject.run
    if run.steps < ENOUGH_STEPS or not rates or max(rates.values()) > VERY_LOW or training.initial is None:
        return None
    for source, highest in rates.items():
        seen = run.series("learning_rate", source).values
        if len(seen) and float(seen[0]) < _WARM_UP * highest:
            return None
    stepped = {id(p) for optimizer in training.optimizers for group in optimizer.param_groups for p in group["params"]}
    now = {name: p.detach() for name, p in training.model.named_parameters() if id(p) in stepped}
    if not now or not looks_fresh(training.model, training.initial, now):
        return None
    if any(name not in training.initial or training.initial[name].shape != one.shape for name, one in now.items()):
        return None
    moved = {name: _share(training.initial[name], one) for name, one in now.items() if one.dim() > 1}
    if not moved or any(share * math.sqrt(now[name][0].numel()) > EFFECT for name, share in moved.items()):
        return None
    most = max(moved.values())
    return most if 0 < most <= STILL else None


def _share(before: torch.Tensor, now: torch.Tensor) -> float:
    """The distance that a matrix moved over its size; one that begins with zeros has moved as far as can be, if it has at all."""
    size, distance = float(before.float().norm()), float((now.cpu().float() - before.cpu().float()).norm())
    return distance / size if size else float(distance > 0)
