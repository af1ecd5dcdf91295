"""How low a loss can go on given targets, whatever the network: 0 for most, more with label smoothing."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from nn_inspector.probes import LossCall

_STEPS = 300
_PATIENCE = 8
_PROGRESS = 2e-4
_RATE = 0.3
_REACH = 75
"""Adam goes about one rate a step, so that it is where the target is in a quarter of the steps."""


def lowest_loss(call: LossCall) -> float:
    """Minimize the loss over the prediction itself, free of any network.

    Args:
        call: a call of the loss; its prediction is the starting point.

    Returns:
        The least value found, never above the value of the call; of a loss that is not reduced, the mean.
    """
    function = getattr(F, call.name)
    options = {name: one.detach() if isinstance(one, torch.Tensor) else one for name, one in call.options.items()}
    distance = _distance(call)
    prediction = call.prediction.detach().clone().requires_grad_()
    start = best = float(call.value.detach().mean())
    optimizer = torch.optim.Adam([prediction], lr=max(_RATE, distance / _REACH))
    stale = 0
    with torch.enable_grad():
        for _ in range(_STEPS):
            optimizer.zero_grad()
            value = function(_allowed(call.name, prediction), call.target, **options).mean()
            loss = float(value.detach())
            if not math.isfinite(loss):
                break
            stale = 0 if loss < best - _PROGRESS * (start - best) else stale + 1
            best = min(best, loss)
            if stale % _PATIENCE == _PATIENCE - 1:
                optimizer.param_groups[0]["lr"] *= 0.2  # it swings around the lowest point
            if stale == 3 * _PATIENCE:
                break
            value.backward()
            optimizer.step()
        if distance:
            there = _allowed(call.name, call.target.detach())
            best = min(best, float(function(there, call.target, **options).mean()))
    return best


def _allowed(name: str, prediction: torch.Tensor) -> torch.Tensor:
    """The free numbers made into what the loss takes: log-probabilities can be no larger than 0 all at once."""
    if name == "binary_cross_entropy":
        return prediction.clamp(1e-6, 1 - 1e-6)
    if name == "nll_loss":
        return prediction.log_softmax(1 if prediction.dim() > 1 else 0)
    return prediction.log_softmax(-1) if name in ("kl_div", "ctc_loss") else prediction


def _distance(call: LossCall) -> float:
    """How far the prediction is from a target of numbers of the same shape."""
    target = call.target
    if not isinstance(target, torch.Tensor) or target.shape != call.prediction.shape or not target.is_floating_point():
        return 0.0
    distance = (target.detach() - call.prediction.detach()).abs()
    return float(distance.max()) if distance.numel() and bool(torch.isfinite(distance).all()) else 0.0
