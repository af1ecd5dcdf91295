"""A bounded, deterministic sample of a tensor: no random numbers are drawn, so training stays as it is."""

from __future__ import annotations

import functools
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
        A one-dimensional tensor of n elements on the same device: all of them up to the limit, else at most so many, fewer
        where the stride is lengthened to share no factor.

        Where the elements are in no order, so that any other one were as likely, a share of them that is estimated from these n
        has a standard error of at most `0.5 / sqrt(n)`, and is off by more than e with a probability of at most
        `2 * exp(-2 * n * e**2)` (Hoeffding 1963, section 6: drawing without replacement). Of elements whose order repeats with
        the stride nothing can be said.

    Example:
        >>> strided_sample(torch.arange(12).reshape(3, 4), 3)
        tensor([ 0,  5, 10])
    """
    length, stride, dense = _plan(tensor.shape, tensor.stride(), limit)
    if dense:
        return tensor.as_strided((length,), (stride,))
    by_stride = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tensor.permute(by_stride).reshape(-1)[::stride]


@functools.lru_cache(maxsize=4096)
def _plan(shape: tuple[int, ...], strides: tuple[int, ...], limit: int) -> tuple[int, int, bool]:
    """How many elements to take, at which distance, and whether the tensor fills its memory without gaps."""
    size = math.prod(shape)
    stride = 1
    if size > limit:
        stride = -(-size // limit)
        while any(math.gcd(stride, length) > 1 for length in shape):
            stride += 1
    return -(-size // stride), stride, _fills_memory(shape, strides)


def _fills_memory(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for step, length in sorted((step, length) for step, length in zip(strides, shape, strict=True) if length != 1):
        if step != expected:
            return False
        expected *= length
    return True
