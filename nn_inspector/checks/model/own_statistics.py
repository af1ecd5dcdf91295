"""Modules of the user's own that keep statistics in training and go wrong with them in evaluation mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.model.norms import busy_loss, far, quietly
from nn_inspector.checks.train.levels import Judgement, loss_levels
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy, isolated
from nn_inspector.history import Finding, Remedy

_CODE = """\
model.train()
with torch.no_grad():
    for _ in range(100):
        model(x)  # the same batch: what is remembered has to come to what it gives
print(module.running_mean - h.mean(0), module.running_var - h.var(0))"""


def own_statistics(subject: Subject, info: CheckInfo) -> Finding | None:
    """Put the modules that keep statistics into training mode alone, where the network is useless in evaluation mode."""
    if not _candidates(subject.training.model):
        return None
    levels = loss_levels(subject)
    if levels is None:
        return None
    batches = subject.batches()
    try:
        with isolated(subject.training) as copied:
            names = _remembering(copied, batches[0])
            busy, quiet = busy_loss(copied, batches), quietly(copied, batches)
        if not names or not far(levels, Judgement(busy, None), quiet):
            return None
        with isolated(subject.training) as copied:
            alone = _in_training_mode(copied, names, batches)
    except ExperimentError:
        return None
    if not far(levels, alone, quiet):
        return None
    kind = type(subject.training.model.get_submodule(names[0])).__name__
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return finding(
        info,
        "error",
        f"It takes something away: on the same batches the loss is {quiet.loss:.3g} in evaluation mode, and {alone.loss:.3g} with "
        f"{names[0]}{more} alone in training mode. What {kind} remembers is not what it uses in training.",
        evidence={"training_mode": busy, "evaluation_mode": quiet.loss, "alone_in_training_mode": alone.loss},
        remedy=Remedy(
            "Compare what it remembers with what it takes from a batch: a variance and not a spread, with the usual momentum, of the "
            "same axes. Or take torch's own BatchNorm.",
            _CODE,
        ),
        where=names[0],
        basis="experiment",
    )


def _candidates(model: nn.Module) -> list[str]:
    """Modules that are not torch's own and have buffers that are no whole numbers."""
    return [
        name
        for name, module in model.named_modules()
        if not type(module).__module__.startswith("torch.")
        and any(buffer.is_floating_point() for buffer in module.buffers(recurse=False))
    ]


def _remembering(copied: TrainingCopy, batch: Any) -> list[str]:
    """Those whose buffers are changed by a pass in training mode."""
    held = {
        name: [buffer.clone() for buffer in copied.model.get_submodule(name).buffers(recurse=False)]
        for name in _candidates(copied.model)
    }
    copied.train_mode()
    with torch.no_grad():
        copied.loss(batch)
    found = []
    for name, before in held.items():
        after = list(copied.model.get_submodule(name).buffers(recurse=False))
        if any(not torch.equal(one, other) for one, other in zip(before, after, strict=True)):
            found.append(name)
        for one, other in zip(before, after, strict=True):
            other.copy_(one)
    return found


def _in_training_mode(copied: TrainingCopy, names: Sequence[str], batches: Sequence[Any]) -> Judgement:
    for name in names:
        copied.model.get_submodule(name).register_forward_pre_hook(_train)
    return quietly(copied, batches)


def _train(module: nn.Module, args: Any) -> None:
    module.training = True
