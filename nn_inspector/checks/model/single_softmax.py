"""A softmax within the model along an axis that holds a single number: all its weights are 1, and nothing before it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, initial_state, isolated, take_apart
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of
from nn_inspector.experiments.rewiring import Replacement

_BATCHES = 3
_PRODUCTS = frozenset({"matmul", "bmm", "baddbmm"})
_MOVES: frozenset[Kind] = frozenset({"move", "dropout", "affine"})


@dataclass(frozen=True, slots=True)
class SingleSoftmax:
    """Weights that are 1 each.

    Attributes:
        node: the call of softmax.
        shape: of what it was given.
        axis: along which it works; there is one number on it.
        meant: the longest of the other axes but the batch's.
        idle: names of the weights before it whose gradient was 0 in each measured step.
    """

    node: Node
    shape: list[int]
    axis: int
    meant: int
    idle: list[str]

    @property
    def instead(self) -> Replacement:
        """Softmax along the axis that is meant."""

        def along(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
            data: torch.Tensor = args[0] if args else kwargs["input"]
            return data.softmax(self.meant)

        return along


def single_softmax(subject: Subject, seen: Anatomy) -> SingleSoftmax | None:
    """The first softmax whose weights are 1 in several batches and which are to weigh the entries of another axis.

    Attention to a sequence that holds one entry is left aside: there the axis along which is summed up is the one with the
    single number. So is a softmax that comes last, see `output_layer`.

    Args:
        subject: training and run.
        seen: one pass of a copy.
    """
    found = [node for node in flow_of(seen).of("softmax") if _weighs(flow_of(seen), node)]
    if not found:
        return None
    try:
        flows = [flow_of(_pass(subject, batch)) for batch in subject.batches()[1:_BATCHES]]
    except ExperimentError:
        return None
    for node in found:
        others = [one for flow in flows for one in flow.of("softmax") if one.turn == node.turn]
        idle = _idle(subject, seen, node)
        if len(others) != len(flows) or not all(_single(one) for one in others) or idle is None:
            continue
        shape = list(node.call.inputs[0].shape)
        axis = _axis(node)
        meant = max((place for place in range(1, len(shape)) if place != axis), key=lambda place: shape[place])
        return SingleSoftmax(node, shape, axis, meant, idle)
    return None


def _pass(subject: Subject, batch: Any) -> Anatomy:
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        return take_apart(copied, batch, training=False, backward=False)


def _weighs(flow: Flow, node: Node) -> bool:
    """Whether a softmax of single numbers weighs data along another axis."""
    if node.call.name != "softmax" or not _single(node):
        return False
    shape = node.call.inputs[0].shape
    if not any(size > 1 for place, size in enumerate(shape) if place not in (0, _axis(node))):
        return False
    gates = [one for one in flow.after(node, _MOVES) if one.kind == "gate"]
    return bool(gates) and not any(_sums_one_up(one, node) for one in gates)


def _single(node: Node) -> bool:
    axis, given = _axis(node), node.call.inputs[0]
    return axis > 0 and given.dim() > 2 and given.shape[axis] == 1


def _axis(node: Node) -> int:
    """Along which axis, counted from the first one; -1 where that is not known."""
    options = node.call.options
    axis = options.get("dim", options.get("1"))
    return axis % node.call.inputs[0].dim() if isinstance(axis, int) and node.call.inputs[0].dim() else -1


def _sums_one_up(gate: Node, node: Node) -> bool:
    """Whether a product of matrices sums up along an axis that holds one number."""
    if gate.call.name not in _PRODUCTS:
        return False
    one = gate.call.inputs[-2:]
    return len(one) < 2 or one[0].shape[-1] == 1


def _idle(subject: Subject, seen: Anatomy, node: Node) -> list[str] | None:
    """The weights before a softmax that never got a gradient but 0, the nearest first; None if each was measured to get one."""
    names = {id(parameter): name for name, parameter in seen.model.named_parameters()}
    behind = (one for other in flow_of(seen).behind(node) for one in other.call.inputs)
    before = dict.fromkeys(names[id(one)] for one in behind if id(one) in names and one.numel() > 1)
    norms = {name: subject.run.series("gradient_norm", name).values for name in before}
    idle = [name for name, values in norms.items() if len(values) and not values.any()]
    return idle if idle or not any(len(values) for values in norms.values()) else None
