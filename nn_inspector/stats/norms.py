"""Norms and sums of many tensors in a few calls."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nn_inspector.stats.values import accumulation_type, real_values


def norms(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The Euclidean norm of each tensor, accumulated in float32 (in float64 for float64).

    Args:
        tensors: dense or sparse, real or complex, any shape, dtype and device.

    Returns:
        One scalar tensor of float32 for each, on its own device; float16 values do not overflow in the sum. A norm is
        NaN if an element is, and Inf if an element is or if it lies above 1e19; below 1e-22 it reads 0.

    Example:
        >>> norms([torch.tensor([3.0, 4.0]), torch.zeros(2, 2)])
        [tensor(5.), tensor(0.)]
    """
    if not tensors:
        return []
    real = [real_values(tensor) for tensor in tensors]
    if any(values.dtype is torch.float64 for values in real):
        return [torch.linalg.vector_norm(v, dtype=accumulation_type(v)).to(torch.float32) for v in real]
    return list(torch._foreach_norm(real, 2, dtype=torch.float32))


def sums(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The sum of the elements of each tensor, accumulated in float32; complex values count by their magnitude.

    Example:
        >>> sums([torch.full((70_000,), 1.0, dtype=torch.float16)])
        [tensor(70000.)]
    """
    return [real_values(tensor).sum(dtype=torch.float32) for tensor in tensors]
