"""Copies of a training's model, loss and optimizers."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.errors import ExperimentError, describe_error
from nn_inspector.experiments.reach import reachable
from nn_inspector.experiments.user_hooks import guard_hooks, look_away, user_hooks
from nn_inspector.training import Training

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def copy_training(
    training: Training,
) -> tuple[nn.Module, list[Optimizer], Callable[..., torch.Tensor] | None]:
    """Copies that share nothing with the user's objects but what functions refer to.

    Raises:
        ExperimentError: something cannot be copied.
    """
    foreign = [
        hook for hook in user_hooks(training.model) if not isinstance(getattr(hook, "__self__", hook), nn.Module)
    ]
    try:
        try:
            model, loss_fn, optimizers = _copy(training, _detached(training))
        except Exception:
            if not foreign:
                raise
            left_out = {id(hook): look_away for hook in foreign}
            model, loss_fn, optimizers = _copy(training, {**_detached(training), **left_out})
    except Exception as error:
        raise ExperimentError(
            f"This training cannot be copied, so no experiment was made ({describe_error(error)}). "
            "Check with copy.deepcopy(model) what is in the way."
        ) from error
    guard_hooks(training.model, model)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # a copy has its weights in pieces, of which cuDNN would warn at every call
        elif _is_compiled(module):
            # Compiled anew, it would use up the graphs that torch allows the user's own.
            vars(module)["forward"] = module.get_submodule("_orig_mod").__call__
    return model, optimizers, loss_fn


def _is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile() has returned it."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(module, compiler.OptimizedModule)


def _copy(
    training: Training, memo: dict[int, Any]
) -> tuple[nn.Module, Callable[..., torch.Tensor] | None, list[Optimizer]]:
    model, loss_fn = copy.deepcopy((training.model, training.loss_fn), memo)
    return model, loss_fn, [_copy_optimizer(optimizer, memo) for optimizer in training.optimizers]


def _detached(training: Training) -> dict[int, Any]:
    """Stand-ins for tensors that a forward pass left behind: with their graph, torch refuses to copy them."""
    modules = [*training.model.modules()]
    if isinstance(training.loss_fn, nn.Module):
        modules += training.loss_fn.modules()
    held = [value for module in modules for name, value in vars(module).items() if name not in _OF_EVERY_MODULE]
    held += [buffer for module in modules for buffer in module._buffers.values()]
    held += user_hooks(training.model)
    held += [optimizer.state for optimizer in training.optimizers]
    grown = [found for found in reachable(*held) if isinstance(found, torch.Tensor) and not found.is_leaf]
    return {id(found): found.detach().clone() for found in grown}


def _copy_optimizer(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    """A copy for the copied parameters, with all attributes.

    `copy.deepcopy` of an optimizer goes through its state for pickling, which leaves out what a subclass adds (LBFGS
    does not run any more). Hooks stay behind, and so does the step that a scheduler has wrapped.
    """
    if id(optimizer) in memo:
        known: Optimizer = memo[id(optimizer)]
        return known
    twin: Optimizer = object.__new__(type(optimizer))
    memo[id(optimizer)] = twin
    for name, value in vars(optimizer).items():
        if name.endswith("_hooks"):
            setattr(twin, name, type(value)())
        elif isinstance(value, Optimizer):  # the inner one of a wrapper
            setattr(twin, name, _copy_optimizer(value, memo))
        elif name != "step":
            setattr(twin, name, copy.deepcopy(value, memo))
    return twin
