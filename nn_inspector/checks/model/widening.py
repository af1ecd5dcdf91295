"""Narrow layers of a network, and a copy in which they are wider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of

_BETWEEN: frozenset[Kind] = frozenset({"activation", "bounded", "softmax", "dropout"})


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """A linear layer inside the network, and those that take what it returns.

    Attributes:
        name: of the module.
        width: how many units it has.
        next: names of the linear layers behind it.
    """

    name: str
    width: int
    next: tuple[str, ...]


def hidden_layers(seen: Anatomy) -> list[HiddenLayer]:
    """The linear layers whose width could be another one: only linear layers take what they return, and nothing else."""
    flow = flow_of(seen)
    modules = {
        f"{name}.weight": name for name, module in seen.model.named_modules() if type(module) is nn.Linear and name
    }
    layers = [node for node in flow.of("layer") if node.weight in modules]
    calls = [node.weight for node in layers]
    found = []
    for node in layers:
        behind = flow.after(node, _BETWEEN)
        if not behind or any(calls.count(one.weight) != 1 for one in (node, *behind)):
            continue
        if all(_takes_only(flow, one, node) for one in behind):
            names = tuple(modules[one.weight or ""] for one in behind)
            module = seen.model.get_submodule(modules[node.weight or ""])
            assert isinstance(module, nn.Linear), "it was chosen by its type"
            found.append(HiddenLayer(modules[node.weight or ""], module.out_features, names))
    return found


def _takes_only(flow: Flow, layer: Node, source: Node) -> bool:
    return layer.kind == "layer" and flow.before(layer, _BETWEEN) == [source]


def widen(copied: TrainingCopy, layers: Collection[HiddenLayer], width: int) -> None:
    """Make layers of a copy wider, with fresh weights in them and in those behind them; the optimizers step the new ones."""
    model = copied.model
    ins, outs = {name: width for layer in layers for name in layer.next}, {layer.name: width for layer in layers}
    replaced: dict[int, nn.Parameter] = {}
    for name in dict.fromkeys((*outs, *ins)):
        old = model.get_submodule(name)
        assert isinstance(old, nn.Linear), "only those are asked for"
        new = nn.Linear(
            ins.get(name, old.in_features),
            outs.get(name, old.out_features),
            bias=old.bias is not None,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new)
        pairs = zip(old.parameters(), new.parameters(), strict=True)
        replaced.update({id(before): after for before, after in pairs})
    for optimizer in copied.optimizers:
        _take_over(optimizer, replaced)


def _take_over(optimizer: torch.optim.Optimizer, replaced: Mapping[int, nn.Parameter]) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) in replaced:
                optimizer.state.pop(parameter, None)
        group["params"] = [replaced.get(id(parameter), parameter) for parameter in group["params"]]
