"""A bounded, deterministic sample of a tensor: no random numbers are drawn, so training stays as it is."""

from __future__ import annotations

import math

import torch


def strided_sample(tensor: torch.Tensor, limit: int) -> torch.Tensor:
    """At most `limit` elements of `tensor`, spread evenly over it, as a flat view wherever one exists.

    The stride shares no factor with any dimension, so that no row, column or channel is left out: a stride
    of 64 over a [batch, 64] tensor would look at one unit alone.

    Args:
        tensor: any shape, any dtype, any dense layout.
        limit: the largest number of elements wanted.

    Returns:
        A one-dimensional tensor of `min(limit, tensor.numel())` elements or a few fewer, on the same device.
        A share estimated from n elements has a standard error of at most `0.5 / sqrt(n)`.

    Example:
        >>> strided_sample(torch.arange(12).reshape(3, 4), 3)
        tensor([ 0,  5, 10])
    """
    size = tensor.numel()
    flat = _flat(tensor)
    if size <= limit:
        return flat
    stride = -(-size // limit)
    while any(math.gcd(stride, length) > 1 for length in tensor.shape):
        stride += 1
    return flat[::stride]


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """All elements in memory order if the tensor is dense in any order of its dimensions: a view, not a copy."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    by_stride = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tensor.permute(by_stride).reshape(-1)
