"""Norms and sums of many tensors in a few calls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from nn_inspector.stats.values import accumulation_type, is_plain, real_values

_LEAST = 1e-15
"""Below such a norm, squares may have been lost that are too small for float32."""


def norms(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The Euclidean norm of each tensor.

    A norm is NaN or Inf if an element is, and for no other reason: squares that leave the range of the dtype are
    accounted for. On the CPU such norms are computed once more, which is rare; on CUDA sums are made in float64, which
    costs no time where memory is what is waited for; elsewhere each tensor is scaled first.

    Args:
        tensors: dense or sparse, real or complex, any shape and dtype, all on one device.

    Returns:
        [tensors] on their device: float32, or float64 where float32 could not hold them or the elements (see `exact_type`).

    Example:
        >>> norms([torch.tensor([3.0, 4.0]), torch.zeros(2, 2), torch.full((4,), 2.0**80)]).log2().tolist()[1:]
        [-inf, 81.0]
    """
    if not tensors:
        return torch.zeros(0, device="cpu")
    real = [t if is_plain(t) and not t.requires_grad else real_values(t) for t in tensors]
    wide = any(values.dtype is torch.float64 for values in real)
    device = real[0].device.type
    if device == "cpu":
        return _on_the_host(real, wide=wide)
    if device == "cuda" and not wide:
        return torch.stack(torch._foreach_norm(real, 2, dtype=torch.float64))
    return torch.stack([_scaled_norm(values) for values in real])


def _on_the_host(real: list[torch.Tensor], *, wide: bool) -> torch.Tensor:
    if wide:
        found = torch.stack([torch.linalg.vector_norm(v, dtype=accumulation_type(v)).to(torch.float64) for v in real])
    else:
        found = torch.stack(torch._foreach_norm(real, 2, dtype=torch.float32))
    numbers = found.tolist()
    if min(numbers) >= _LEAST and max(numbers) < math.inf:
        return found
    doubtful = [place for place, norm in enumerate(numbers) if norm < _LEAST or norm == math.inf]
    again = {place: float(_scaled_norm(real[place])) for place in doubtful}
    if any(norm != numbers[place] for place, norm in again.items()):
        found = found.to(torch.float64)
        for place, norm in again.items():
            found[place] = norm
    return found


def _scaled_norm(values: torch.Tensor) -> torch.Tensor:
    """The norm of values that are divided by the greatest of them first, so that no square leaves the range."""
    wide = torch.float64 if values.device.type in ("cpu", "cuda") else torch.float32
    if values.numel() == 0:
        return torch.zeros((), dtype=wide, device=values.device)
    values = values.to(accumulation_type(values))
    low, high = values.aminmax()
    largest = torch.maximum(high, -low)
    usual = (largest > 0) & largest.isfinite()
    norm = torch.linalg.vector_norm(values / torch.where(usual, largest, 1.0)).to(wide) * largest.to(wide)
    return torch.where(usual, norm, largest.to(wide))


def sums(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The sum of the elements of each tensor, in float32, or float64 where they are; complex values count by their magnitude.

    Example:
        >>> sums([torch.full((70_000,), 1.0, dtype=torch.float16)])
        [tensor(70000.)]
    """
    return [values.sum(dtype=accumulation_type(values)) for values in map(real_values, tensors)]
