"""Euclidean norms of many tensors in a few calls."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def norms(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The Euclidean norm of each tensor, accumulated in float32.

    Args:
        tensors: dense or sparse, real or complex, any shape, dtype and device.

    Returns:
        One float32 scalar tensor for each, on its own device; float16 values do not overflow in the sum.

    Example:
        >>> norms([torch.tensor([3.0, 4.0]), torch.zeros(2, 2)])
        [tensor(5.), tensor(0.)]
    """
    if not tensors:
        return []
    dense = [_dense_real(tensor) for tensor in tensors]
    return list(torch._foreach_norm(dense, 2, dtype=torch.float32))


def _dense_real(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor if tensor.is_floating_point() else tensor.to(torch.float32)
