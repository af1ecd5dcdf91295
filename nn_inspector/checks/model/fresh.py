"""Tells weights that were never trained from those that were: torch's own initialization has a hard edge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn

_ENOUGH = 24
"""Of fewer weights the edge says too little."""

_NEAR = 0.85
"""The largest of so many uniform weights is nearer to the edge than this."""


def looks_fresh(model: nn.Module, values: Mapping[str, torch.Tensor], names: Iterable[str]) -> bool:
    """Whether the layers that these parameters belong to look as if they had just been made.

    What torch draws for a linear, convolutional or recurrent layer is uniform between two bounds that its shape gives, and
    training moves some weight across them soon. A bias that is zero throughout was not trained either. A layer of
    another kind says nothing.

    Args:
        model: the network.
        values: its parameters at the time of `watch()`, by name.
        names: of the parameters that are asked about.

    Returns:
        True if every layer that says something looks fresh, and one does.
    """
    layers = {name.rpartition(".")[0] for name in names}
    modules = dict(model.named_modules())
    answers = [_is_fresh(modules[layer], layer, values) for layer in layers if layer in modules]
    known = [answer for answer in answers if answer is not None]
    return bool(known) and all(known)


def _is_fresh(module: nn.Module, layer: str, values: Mapping[str, torch.Tensor]) -> bool | None:
    held = {name: values.get(f"{layer}.{name}" if layer else name) for name in module._parameters}
    biases = [value for name, value in held.items() if "bias" in name and value is not None]
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        return all(bool((bias == 0).all()) for bias in biases) if biases else None
    if biases and all(bool((bias == 0).all()) for bias in biases):
        return True
    bound = edge(module)
    if bound is None:
        return None
    weights = [value.reshape(-1).float() for name, value in held.items() if value is not None and "weight" in name]
    drawn = torch.cat(weights) if weights else torch.zeros(0)
    if drawn.numel() < _ENOUGH:
        return None
    largest = float(drawn.abs().max())
    return _NEAR * bound <= largest <= bound * (1 + 1e-5)


def edge(module: nn.Module) -> float | None:
    """The bound of torch's uniform initialization of this layer's weights; None for a layer that has none.

    Example:
        >>> edge(nn.Linear(100, 3)), edge(nn.Conv2d(4, 8, 5)), edge(nn.LSTM(3, 25)), edge(nn.ReLU())
        (0.1, 0.1, 0.2, None)
    """
    if isinstance(module, nn.Linear):
        return 1 / math.sqrt(module.in_features) if module.in_features else None
    if isinstance(module, nn.modules.conv._ConvNd):
        fan = module.weight.shape[1] * module.weight[0, 0].numel()
        return 1 / math.sqrt(fan)
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return 1 / math.sqrt(module.hidden_size)
    return None
