"""A module that stands several times in a list, as if it were several, and answers the same each time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.experiments import Anatomy


@dataclass(frozen=True, slots=True)
class OneModule:
    """One module in several places.

    Attributes:
        container: the name of the list that holds it.
        kind: its class.
        times: how often it stands there.
        parameters: how many numbers it has.
    """

    container: str
    kind: str
    times: int
    parameters: int


def one_module(seen: Anatomy) -> OneModule | None:
    """Look for a module with parameters that a list holds several times, and that gets the same input each time.

    Layers that share their weights one after the other get different inputs.
    """
    for name, container in seen.model.named_modules():
        if not isinstance(container, nn.ModuleList | nn.ModuleDict):
            continue
        held = list(container._modules.values())
        for module in dict.fromkeys(held):
            times = held.count(module)
            if module is None or times < 2 or not any(True for _ in module.parameters()):
                continue
            runs = [run.inputs for run in seen.modules if run.module is module]
            if len(runs) >= times and all(_same(inputs, runs[0]) for inputs in runs):
                return OneModule(name, type(module).__name__, times, sum(p.numel() for p in module.parameters()))
    return None


def _same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return len(one) == len(other) > 0 and all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )
