"""Parts of a loss that are made of what is trained and come without a gradient: drawn at random, or computed within no_grad()."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.cut_inside import CUTS
from nn_inspector.checks.loop.lower_loss import far_lower_with
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.flow import LAYERS
from nn_inspector.history import Trial
from nn_inspector.probes.loss_calls import LOSS_FUNCTIONS

_LOSSES = frozenset(LOSS_FUNCTIONS.values())
_SUMS = frozenset({"add", "sub", "radd", "rsub", "sum"})

How = Literal["drawn", "judged"]


@dataclass(frozen=True, slots=True)
class WithoutGraph:
    """What comes without a gradient.

    Attributes:
        how: "drawn" from numbers that are trained, or "judged" by a loss function.
        trial: the same loss, with the gradients.
    """

    how: How
    trial: Trial


def without_graph(subject: Subject) -> WithoutGraph | None:
    """Train a copy that computes a gradient for all of it; None unless the same loss falls far lower so."""
    try:
        how = cut_by_hand(subject.anatomy("initial"))
    except ExperimentError:
        return None
    trial = far_lower_with(subject, _with_graphs) if how is not None else None
    return WithoutGraph(how, trial) if how is not None and trial is not None else None


def cut_by_hand(seen: Anatomy) -> How | None:
    """What was made of trained numbers, has no graph, and is put together with what has one; detach() is another matter.

    Weights and targets that are computed so are meant: they are multiplied, or compared with.
    """
    cut: dict[int, How | None] = {}
    for call in seen.calls:
        taken = [cut[id(one)] for one in call.inputs if id(one) in cut]
        if call.output is None or not call.output.is_floating_point() or call.name in CUTS:
            continue
        is_made = bool(taken) or any(one.requires_grad for one in call.inputs)
        if is_made and call.name == "normal":  # its gradient is 0, where it has one
            cut.update(dict.fromkeys(map(id, call.outputs), "drawn"))
        elif call.output.requires_grad:
            if "drawn" in taken and call.name in LAYERS:
                return "drawn"
            if "judged" in taken and call.name in _SUMS:
                return "judged"
        elif is_made:
            known = "judged" if call.name in _LOSSES else next((how for how in taken if how is not None), None)
            cut.update(dict.fromkeys(map(id, call.outputs), known))
    return None


def _with_graphs(copied: TrainingCopy) -> None:
    def loss(batch: Any) -> torch.Tensor:
        with _GraphsEverywhere():
            return copied.training.loss(copied.model, copied.loss_fn, batch, penalty=copied.penalty)

    copied.instead = loss


class _GraphsEverywhere(TorchFunctionMode):
    """What is drawn from a normal distribution keeps the gradient of its mean and spread."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {**dict(zip(("mean", "std"), args, strict=False)), **(kwargs or {})}
        mean: Any = given.get("mean")
        spread: Any = given.get("std", 1.0)
        with torch.enable_grad():
            if func is not torch.normal or not (isinstance(mean, torch.Tensor) or isinstance(spread, torch.Tensor)):
                return func(*args, **(kwargs or {}))
            noise = torch.randn_like(mean * torch.ones_like(torch.as_tensor(spread)))
            return mean + spread * noise
