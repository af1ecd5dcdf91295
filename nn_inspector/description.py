"""What a training consists of, as plain data: what is kept with its run."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from nn_inspector.arguments import length_of
from nn_inspector.probes import Phase


def description(
    model: nn.Module, loss_fn: object, optimizers: Sequence[Optimizer], loaders: Mapping[Phase, Iterable[Any]]
) -> dict[str, Any]:
    """Model, loss, optimizers and loaders, in numbers and names that JSON can hold.

    Args:
        model: the network; parameters that have no shape yet are left out.
        loss_fn: a module or function, or None.
        optimizers: those that step the model.
        loaders: by what they are for.
    """
    parameters = [p for p in model.parameters() if not isinstance(p, UninitializedParameter)]
    return {
        "model": type(model).__name__,
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "modules": {name: type(module).__name__ for name, module in model.named_modules()},
        "own_parameters": {name: count for name, module in model.named_modules() if (count := _own_parameters(module))},
        "device": str(next(model.parameters()).device),
        "loss_fn": _name(loss_fn),
        "optimizers": [_describe_optimizer(optimizer, model) for optimizer in optimizers],
        "loaders": {phase: _describe_loader(loader) for phase, loader in loaders.items()},
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _own_parameters(module: nn.Module) -> int:
    """How many numbers are trained in a module itself, without those of its parts."""
    own = module.parameters(recurse=False)
    return sum(parameter.numel() for parameter in own if not isinstance(parameter, UninitializedParameter))


def _describe_optimizer(optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        "name": type(optimizer).__name__,
        "groups": [
            {
                **{key: value for key, value in group.items() if isinstance(value, bool | int | float)},
                "parameters": [names[id(p)] for p in group["params"] if id(p) in names],
            }
            for group in optimizer.param_groups
        ],
    }


def _describe_loader(loader: Iterable[Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": type(loader).__name__}
    if isinstance(loader, Sized):
        facts["batches"] = length_of(loader)
    if isinstance(loader, DataLoader):
        facts["batch_size"] = loader.batch_size
        facts["sampler"] = type(loader.sampler).__name__
        facts["workers"] = loader.num_workers
        if isinstance(loader.dataset, Sized):
            facts["items"] = len(loader.dataset)
    return facts


def _name(function: object) -> str | None:
    if function is None:
        return None
    return getattr(function, "__name__", None) or type(function).__name__
