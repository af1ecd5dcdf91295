"""How low a loss can go on given targets, whatever the network: 0 for most, more with label smoothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from nn_inspector.probes import LossCall

_STEPS = 300


def lowest_loss(call: LossCall) -> float:
    """Minimize the loss over the prediction itself, free of any network.

    Args:
        call: a call of the loss; its prediction is the starting point.

    Returns:
        The least value found, never above the value of the call; of a loss that is not reduced, the mean.
    """
    function = getattr(F, call.name)
    prediction = call.prediction.detach().clone().requires_grad_()
    best = float(call.value.detach().mean())
    optimizer = torch.optim.Adam([prediction], lr=0.3)
    with torch.enable_grad():
        for step in range(_STEPS):
            optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / _STEPS)  # so that it comes to rest
            optimizer.zero_grad()
            bounded = prediction.clamp(1e-6, 1 - 1e-6) if call.name == "binary_cross_entropy" else prediction
            value = function(bounded, call.target, **call.options).mean()
            if not torch.isfinite(value):
                break
            best = min(best, float(value.detach()))
            value.backward()
            optimizer.step()
    return best
