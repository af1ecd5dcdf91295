"""Whether all elements of a tensor are finite."""

from __future__ import annotations

import math

import torch

from nn_inspector.stats.values import accumulation_type


def is_finite(values: torch.Tensor) -> bool:
    """Whether no element is NaN or Inf; waits for the device.

    A sum is the fastest look there is. It is not finite either where it leaves the range: then the extremes decide.

    Args:
        values: as `real_values` gives them.

    Example:
        >>> is_finite(torch.tensor([3e38, 3e38])), is_finite(torch.tensor([0.0, float("-inf")]))
        (True, False)
    """
    if values.numel() == 0 or math.isfinite(values.sum(dtype=accumulation_type(values))):
        return True
    low, high = values.aminmax()
    return math.isfinite(low) and math.isfinite(high)


def finite_sign(values: torch.Tensor) -> torch.Tensor:
    """0 if all elements are finite, else NaN: a scalar of float32 on their device, without a wait for it."""
    if values.numel() == 0:
        return torch.zeros((), dtype=torch.float32, device=values.device)
    largest: torch.Tensor = torch.linalg.vector_norm(values, torch.inf)
    return largest.mul(0).to(torch.float32)
