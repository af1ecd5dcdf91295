"""The first weights of each layer, and how wide they should be for its inputs and its activation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.experiments import Anatomy
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of

_GAINS = {
    "relu": math.sqrt(2), "relu6": math.sqrt(2), "leaky_relu": math.sqrt(2), "prelu": math.sqrt(2), "elu": math.sqrt(2),
    "gelu": math.sqrt(2), "silu": math.sqrt(2), "mish": math.sqrt(2), "hardswish": math.sqrt(2), "tanh": 5 / 3,
}  # fmt: skip
"""He for rectifiers, 5/3 for tanh, and 1 (LeCun, Glorot) for what is not here: the advice of `nn.init.calculate_gain`."""

ENOUGH = 16
"""Of fewer weights the spread is a matter of luck."""

_ROUNDING = 1e-5

PASSED: frozenset[Kind] = frozenset({"move", "dropout", "pool"})
"""What may stand between a layer and its activation."""


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """The first weights of one layer.

    Attributes:
        name: of its weight.
        spread: standard deviation of the weights.
        wanted: the one that keeps the size of the signal: gain / sqrt(fan in).
        activation: name of the function behind it; None if there is none.
        recurrent: whether the weight is applied again at each place of a sequence.
        bias: name of its bias, if it has one that is trained and an activation behind it.
        offset: mean size of that bias, in standard deviations of what the weights make of a batch, or of 1 where that is more.
    """

    name: str
    spread: float
    wanted: float
    activation: str | None = None
    recurrent: bool = False
    bias: str | None = None
    offset: float = 0.0

    @property
    def ratio(self) -> float:
        """How many times as wide as they should be."""
        return self.spread / self.wanted


def first_weights(seen: Anatomy) -> list[LayerWeights]:
    """The layers whose weights are trained, whose width matters, and that do not begin at zero.

    Behind a normalization the width of weights does not matter.
    """
    flow, parameters = flow_of(seen), dict(seen.model.named_parameters())
    found: dict[str, LayerWeights] = {}
    for node in flow.of("layer", "recurrent"):
        made = _recurrent(node, parameters) if node.kind == "recurrent" else _layer(flow, node, parameters)
        for layer in made:
            weight = parameters[layer.name]
            if layer.spread > 0 and weight.requires_grad and weight.numel() >= ENOUGH:
                found.setdefault(layer.name, layer)
    return list(found.values())


def _layer(flow: Flow, node: Node, parameters: Mapping[str, torch.Tensor]) -> list[LayerWeights]:
    behind = flow.after(node, PASSED | {"affine"})
    if node.weight is None or any(one.kind == "norm" for one in behind):
        return []
    weight = parameters[node.weight]
    fan = _fan_in(node.call.name, weight)
    if fan is None:
        return []
    activation = next((one.call.name for one in behind if one.kind in ("activation", "bounded")), None)
    wanted = _GAINS.get(activation or "", 1.0) / math.sqrt(fan)
    bias, offset = None, 0.0
    if activation is not None:
        bias, offset = _offset(node, parameters)
    return [LayerWeights(node.weight, _spread(weight), wanted, activation, bias=bias, offset=offset)]


def _recurrent(node: Node, parameters: Mapping[str, torch.Tensor]) -> list[LayerWeights]:
    names = {id(parameter): name for name, parameter in parameters.items()}
    own = [names[id(tensor)] for tensor in node.call.inputs if id(tensor) in names]
    kind = "tanh" if "relu" not in node.call.name else "relu"
    matrices = [name for name in own if parameters[name].dim() == 2]
    widest = max((parameters[name].shape[1] for name in matrices), default=1)
    return [
        LayerWeights(name, _spread(parameters[name]), 1 / math.sqrt(widest), kind, "weight_hh" in name)
        for name in matrices
    ]


def _fan_in(name: str, weight: torch.Tensor) -> int | None:
    """How many inputs each output of a layer is made of; None where that is not plain."""
    if name.startswith("conv_transpose"):
        return weight.shape[0] * weight[0, 0].numel()
    if name == "linear" or name.startswith("conv"):
        return weight.numel() // max(1, weight.shape[0]) or None
    return weight.shape[0] if name in ("matmul", "mm", "addmm") and weight.dim() == 2 else None


def _offset(node: Node, parameters: Mapping[str, torch.Tensor]) -> tuple[str | None, float]:
    assert node.weight is not None, "it was looked up by it"
    bias = f"{node.weight.removesuffix('weight')}bias" if node.weight.endswith("weight") else ""
    output = node.call.output
    if bias not in parameters or not parameters[bias].requires_grad or output is None or len(output) < 2:
        return None, 0.0
    spread = float(output.detach().float().std(0).mean())
    return bias, float(parameters[bias].detach().abs().mean()) / max(spread, 1.0)


def _spread(weight: torch.Tensor) -> float:
    """Around their mean, so that weights which are all alike have none: that is for `symmetry` to say."""
    values = weight.detach().float()
    spread = float(values.std(correction=0))
    return spread if spread > _ROUNDING * float(values.abs().max()) else 0.0


@torch.no_grad()
def redraw(model: nn.Module, layers: Collection[LayerWeights]) -> None:
    """Draw the weights of layers anew, as wide as they should be, and set the biases that are too large to zero."""
    parameters = dict(model.named_parameters())
    for layer in layers:
        weight = parameters[layer.name]
        if layer.recurrent:
            for gate in weight.split(weight.shape[1]):
                nn.init.orthogonal_(gate)
        else:
            weight.normal_(0.0, layer.wanted)
        if layer.bias is not None:
            parameters[layer.bias].zero_()
