"""What the units behind each hidden layer do now: at work, dead, or at the end of their range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import batch_size, isolated, take_apart
from nn_inspector.experiments.flow import STRAIGHT, Flow, Node, flow_of
from nn_inspector.experiments.rewiring import Spot

FEWEST = 64
"""Items; of fewer, a unit that is at work now and then may have been missed."""

_RECTIFIERS = frozenset({"relu", "relu6", "threshold", "hardswish", "clamp", "clamp_min", "maximum"})
FLAT = {"sigmoid": (0.0101, 0.9899), "tanh": (-0.99499, 0.99499), "hardtanh": (-1 + 1e-6, 1 - 1e-6)}
"""Outputs beyond these are where the slope is below 0.01."""

_BATCHES = 8


@dataclass(frozen=True, slots=True)
class UnitLayer:
    """The units of one activation function.

    Attributes:
        where: the module that calls it, or the layer before it.
        function: "relu", "tanh" and so on.
        spot: which call it is.
        units: how many.
        idle: share of them that did nothing for any item: 0 behind a rectifier, at an end of the range elsewhere.
        values: share of all values that are so.
    """

    where: str
    function: str
    spot: Spot
    units: int
    idle: float
    values: float


def units_now(subject: Subject) -> list[UnitLayer]:
    """The hidden rectifiers, sigmoids and tanhs with the weights of now: looked at once for all checks of a diagnosis.

    Where no copy can be made, those among them that are modules, as the run has seen them in its last steps.

    Raises:
        InspectorError: neither is possible, or there are too few items.
    """
    try:
        seen: list[UnitLayer] = subject.once("units now", lambda: _look(subject))
    except ExperimentError:
        seen = list(_in_the_run(subject))
        if not seen:
            raise
    return seen


def _in_the_run(subject: Subject) -> Iterator[UnitLayer]:
    modules = [name for name, module in subject.training.model.named_modules() if not list(module.children())]
    for quantity, function in (("dead_units", "relu"), ("saturated_units", "sigmoid")):
        for source in subject.run.sources(quantity):
            idle, activity = subject.run.last(quantity, source), subject.run.last_vector("unit_activity", source)
            if idle is not None and activity is not None and source != modules[-1]:
                yield UnitLayer(source, function, (function, -1), len(activity), idle, idle)


def _look(subject: Subject) -> list[UnitLayer]:
    if subject.seconds <= 0:
        raise ExperimentError("This looks at a copy of the network, and there is no time left for that.")
    batches = subject.batches(_BATCHES)
    if sum(batch_size(batch) for batch in batches) < FEWEST:
        raise ExperimentError(f"There are fewer than {FEWEST} items to look at.")
    found: dict[Spot, _Count] = {}
    with isolated(subject.training) as copied:
        for batch in batches:
            flow = flow_of(take_apart(copied, batch, training=False, backward=False))
            for node in _hidden(flow):
                found.setdefault((node.call.name, node.turn), _Count(_where(flow, node))).add(flow, node)
    return [count.result(spot) for spot, count in found.items() if count.at_work is not None]


class _Count:
    def __init__(self, where: str) -> None:
        self.where = where
        self.at_work: torch.Tensor | None = None
        self.shares: list[float] = []

    def add(self, flow: Flow, node: Node) -> None:
        values = _by_unit(flow, node)
        if values is None or (self.at_work is not None and len(self.at_work) != values.shape[1]):
            return
        low, high = FLAT.get(node.call.name, (0.0, float("inf")))
        active = (values > low) & (values < high) if node.call.name in FLAT else values != 0
        now = active.any(0)
        self.at_work = now if self.at_work is None else self.at_work | now
        self.shares.append(1 - float(active.float().mean()))

    def result(self, spot: Spot) -> UnitLayer:
        assert self.at_work is not None, "only layers that were counted are asked for"
        idle = 1 - float(self.at_work.float().mean())
        return UnitLayer(self.where, spot[0], spot, len(self.at_work), idle, sum(self.shares) / len(self.shares))


def _hidden(flow: Flow) -> Sequence[Node]:
    """Activations with a layer before and behind them; gates, which multiply data, may well be shut."""
    nodes = [
        node for node in flow.of("activation", "bounded") if node.call.name in _RECTIFIERS or node.call.name in FLAT
    ]
    return [
        node
        for node in nodes
        if any(one is not None and one.kind == "layer" for one in flow.before(node, STRAIGHT | {"norm"}))
        and any(one.kind in ("layer", "recurrent") for one in flow.after(node, STRAIGHT | {"norm", "pool"}))
        and not any(one.kind == "gate" for one in flow.next(node))
    ]


def _by_unit(flow: Flow, node: Node) -> torch.Tensor | None:
    """[values, units]: channels behind a convolution, else the last axis."""
    output: Any = node.call.output
    if output is None or output.dim() < 2:
        return None
    before = [one for one in flow.before(node, STRAIGHT | {"norm"}) if one is not None]
    axis = 1 if before and before[0].call.name.startswith("conv") else output.dim() - 1
    values: torch.Tensor = output.detach().movedim(axis, -1).reshape(-1, output.shape[axis])
    return values


def _where(flow: Flow, node: Node) -> str:
    if node.call.module:
        return node.call.module
    before = [one.weight for one in flow.before(node, STRAIGHT | {"norm"}) if one is not None and one.weight]
    return before[0].rpartition(".")[0] if before else "the model"
