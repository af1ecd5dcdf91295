"""Narrow layers of a network, and a copy in which they are wider."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of

_BETWEEN: frozenset[Kind] = frozenset({"activation", "bounded", "softmax", "dropout"})


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """A linear or recurrent layer inside the network, and those that take what it returns.

    Attributes:
        name: of the module.
        width: how many units it has.
        next: names of the layers behind it.
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


def recurrent_layers(seen: Anatomy) -> list[HiddenLayer]:
    """The recurrent layers whose state could have another size: the next layer that ran takes all that they return."""
    found = []
    ran = [run for run in seen.leaves if isinstance(run.module, nn.RNNBase | nn.Linear)]
    for run, behind in itertools.pairwise(ran):
        module = run.module
        if not isinstance(module, nn.RNNBase) or module.proj_size or _inputs_of(behind.module) != _returned(module):
            continue
        if [one.name for one in ran].count(run.name) == 1:
            found.append(HiddenLayer(run.name, module.hidden_size, (behind.name,)))
    return found


def _returned(module: nn.RNNBase) -> int:
    """How many numbers it returns at each place."""
    return module.hidden_size * _sides(module)


def _inputs_of(module: nn.Module) -> int:
    return int(module.input_size if isinstance(module, nn.RNNBase) else module.in_features)  # type: ignore[arg-type]


def widen(copied: TrainingCopy, layers: Collection[HiddenLayer], width: int) -> None:
    """Make layers of a copy wider, with fresh weights in them and in those behind them; the optimizers step the new ones."""
    model = copied.model
    outs = {layer.name: width for layer in layers}
    behind = [(layer.name, name) for layer in layers for name in layer.next]
    replaced: dict[int, nn.Parameter] = {}
    for name in dict.fromkeys((*outs, *(name for _, name in behind))):
        old = model.get_submodule(name)
        before = [model.get_submodule(one) for one, other in behind if other == name]
        new = _fresh(old, width * _sides(before[0]) if before else _inputs_of(old), outs.get(name))
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new)
        pairs = zip(old.parameters(), new.parameters(), strict=True)
        replaced.update({id(one): other for one, other in pairs})
    for optimizer in copied.optimizers:
        take_over(optimizer, replaced)


def _sides(module: nn.Module) -> int:
    return 2 if isinstance(module, nn.RNNBase) and module.bidirectional else 1


def _fresh(old: nn.Module, inputs: int, width: int | None) -> nn.Module:
    """A layer of the same kind with fresh weights, and other numbers of inputs and, if given, of units."""
    parameter = next(old.parameters())
    place: dict[str, Any] = {"device": parameter.device, "dtype": parameter.dtype}
    if isinstance(old, nn.RNNBase):
        options: dict[str, Any] = {
            name: getattr(old, name) for name in ("num_layers", "bias", "batch_first", "dropout", "bidirectional")
        }
        if type(old) is nn.RNN:
            options["nonlinearity"] = old.nonlinearity
        make: Callable[..., nn.Module] = type(old)
        return make(inputs, width or old.hidden_size, **options, **place)
    assert isinstance(old, nn.Linear), "only those are asked for"
    return nn.Linear(inputs, width or old.out_features, bias=old.bias is not None, **place)


def take_over(optimizer: torch.optim.Optimizer, replaced: Mapping[int, nn.Parameter]) -> None:
    """Let an optimizer step new parameters in place of old ones, which are known by their identity."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) in replaced:
                optimizer.state.pop(parameter, None)
        group["params"] = [replaced.get(id(parameter), parameter) for parameter in group["params"]]
