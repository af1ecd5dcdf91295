"""Networks without a single bias: what they answer grows in proportion to the input, and is nothing where the input is nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.model.giving import give
from nn_inspector.checks.race import WELL, Race, race
from nn_inspector.experiments import TrainingCopy

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def layers_without_bias(model: nn.Module) -> list[str]:
    """Names of the linear and convolutional layers, if the model has no other parameters than their weights.

    Example:
        >>> layers_without_bias(nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False)))
        ['0', '2']
    """
    holding = {name: module for name, module in model.named_modules() if module._parameters}
    plain = all(isinstance(module, _LAYERS) and module.bias is None for module in holding.values())
    return list(holding) if plain else []


def with_biases(subject: Subject, layers: Sequence[str], *, most: int) -> Race | None:
    """A copy in which the layers have biases, beside one that has none and the user's own training.

    Args:
        subject: training and run.
        layers: their names.
        most: steps of each at most.

    Returns:
        None unless the copy gets much further, to where it does well.
    """
    tried = race(subject, lambda copied: _add_biases(copied, layers), most=most)
    return None if tried is None or tried.severity == "info" or tried.treated[-1] > WELL[tried.kind] else tried


def _add_biases(copied: TrainingCopy, layers: Sequence[str]) -> None:
    """Biases as torch draws them, for the optimizer to step."""
    for name in layers:
        layer = copied.model.get_submodule(name)
        weight = layer.weight
        assert isinstance(weight, torch.Tensor), "layers_without_bias() has chosen them"
        bound = 1 / math.sqrt(max(weight[0].numel(), 1))
        layer.register_parameter("bias", nn.Parameter(weight.new_empty(_units(layer)).uniform_(-bound, bound)))
    give(copied, [f"{name}.bias" if name else "bias" for name in layers])


def _units(layer: nn.Module) -> int:
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)  # type: ignore[arg-type]
