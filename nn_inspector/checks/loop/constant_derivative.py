"""Derivatives in a loss that were computed without their own graph: they count as constants, and are not trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.lower_loss import far_lower_with
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.history import Trial

_STILL_THE_SAME = frozenset(
    {
        "mul",
        "add",
        "sub",
        "neg",
        "div",
        "truediv",
        "pow",
        "square",
        "getitem",
        "squeeze",
        "unsqueeze",
        "reshape",
        "view",
        "sum",
    }
)
"""What a derivative is put through before it meets what is trained. Its sign or norm is a direction or a weight, and meant so."""


def has_constant_derivative(seen: Anatomy) -> bool:
    """Whether the result of `torch.autograd.grad` without `create_graph` is put together with something that is trained."""
    constant: set[int] = set()
    for call in seen.calls:
        if call.name == "grad" and not call.options.get("create_graph"):
            constant |= {id(one) for one in call.outputs if not one.requires_grad}
        elif constant & {id(one) for one in call.inputs} and call.output is not None:
            if call.output.requires_grad:
                return True
            if call.name in _STILL_THE_SAME:
                constant.add(id(call.output))
    return False


def kept_derivative(subject: Subject) -> Trial | None:
    """A trial with the graph of each derivative kept.

    A derivative may well be meant as a constant: as a weight between two losses, or a step towards a harder example. Then
    nothing is gained by its graph.

    Returns:
        None unless the same loss falls far lower with it.
    """
    try:
        if not has_constant_derivative(subject.anatomy("initial")):
            return None
    except ExperimentError:
        return None
    return far_lower_with(subject, _keep_graphs)


def _keep_graphs(copied: TrainingCopy) -> None:
    def loss(batch: Any) -> torch.Tensor:
        with _GraphsKept():
            return copied.training.loss(copied.model, copied.loss_fn, batch, penalty=copied.penalty)

    copied.instead = loss


class _GraphsKept(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.autograd.grad:
            given |= {"create_graph": True, "retain_graph": True}
        return func(*args, **given)
