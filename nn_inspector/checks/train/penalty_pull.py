"""How hard a penalty on the weights pulls that stands in a loss written by hand, beside the rest of that loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, initial_state, isolated
from nn_inspector.probes import without_penalty


def penalty_pull(subject: Subject, *, now: bool = False) -> float | None:
    """Norm of the gradient of what depends on the weights alone, over that of all else in the loss, at the first weights or now.

    Both are means over some batches.

    Returns:
        None if there is no such term, and where it is not known how the loop makes its loss.
    """
    training = subject.training
    if subject.seconds <= 0 or training.step is not None or training.tape is None:
        return None
    if without_penalty(training.tape) == training.tape:
        return None
    try:
        batches = subject.batches()
        with isolated(training, start=Start() if now else initial_state(training, subject.run)) as copied:
            copied.same_noise = True
            whole = _gradient(copied, batches)
            copied.penalty = False
            data = _gradient(copied, batches)
    except ExperimentError:
        return None
    pull, driven = float((whole - data).norm()), float(data.norm())
    return pull / driven if driven > 0 and math.isfinite(pull) else None


def _gradient(copied: TrainingCopy, batches: Sequence[Any]) -> torch.Tensor:
    """Mean over the batches, float32 [parameters]."""
    trained = [p for p in copied.model.parameters() if p.requires_grad]
    total = torch.zeros(sum(p.numel() for p in trained), device=trained[0].device if trained else None)
    for batch in batches:
        loss = copied.loss(batch)
        if not loss.requires_grad:
            raise ExperimentError("The loss does not depend on any parameter that needs a gradient.")
        found = torch.autograd.grad(loss, trained, allow_unused=True)
        parts = [torch.zeros_like(p) if one is None else one for p, one in zip(trained, found, strict=True)]
        total += torch.cat([part.float().flatten() for part in parts]) / len(batches)
    return total
