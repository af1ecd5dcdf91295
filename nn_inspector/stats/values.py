"""Any tensor as plain real numbers: the one place that knows dtypes, layouts and tensor types."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)
_WIDE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
_OF_FLOAT64 = (torch.float64, torch.complex128, torch.int32, torch.int64, torch.uint32, torch.uint64)


def real_values(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor in a form that every function of torch can compute with.

    Sparse tensors (COO, CSR, CSC, BSR, BSC) give the values that they store, nested ones those of their items; a DTensor gives the part
    on this process; complex values give their magnitudes. Integers of 32 and 64 bits become float64, which is exact up to 2^53;
    shorter ones, bool and float8 become float32.

    Args:
        tensor: any tensor that has values (not meta). It is not changed; what comes back may share its memory.

    Returns:
        A dense tensor of float16, bfloat16, float32 or float64 outside of any graph, of any shape.

    Example:
        >>> real_values(torch.tensor([3 + 4j, 0]))
        tensor([5., 0.])
        >>> real_values(torch.eye(2, dtype=torch.int16).to_sparse())
        tensor([1., 1.])
    """
    values = tensor.detach()
    if is_plain(tensor):
        return values.resolve_neg()  # the imaginary part of a conjugate is a view that is yet to be negated
    if hasattr(values, "to_local"):  # a DTensor, known without importing torch.distributed
        values = values.to_local()
    values = _dense(values)
    if values.is_quantized:
        values = values.dequantize()
    if values.is_complex():
        return (values.to(torch.complex64) if values.dtype is torch.complex32 else values).abs()
    return values if values.dtype in _WIDE else values.to(exact_type(values))


def exact_type(tensor: torch.Tensor) -> torch.dtype:
    """The dtype that holds the numbers of a tensor: float64 where float32 would round them and the device has it, else float32.

    Example:
        >>> exact_type(torch.tensor([2**24 + 1])), exact_type(torch.tensor([1.0], dtype=torch.float16))
        (torch.float64, torch.float32)
    """
    return torch.float64 if tensor.dtype in _OF_FLOAT64 and tensor.device.type != "mps" else torch.float32


def stored_values(tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The `real_values` of a tensor, and how many zeros it has besides: those that a sparse one does not store.

    Where it stores nothing at all, one of its zeros stands among the values.

    Example:
        >>> stored_values(torch.eye(3).to_sparse())
        (tensor([1., 1., 1.]), 6)
    """
    values = real_values(tensor)
    zeros = tensor.numel() - values.numel() if tensor.layout in _SPARSE else 0
    return (values, zeros) if values.numel() or not zeros else (values.new_zeros(1), zeros - 1)


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one of torch's own, dense and of numbers that every function can compute with.

    Example:
        >>> is_plain(torch.zeros(2)), is_plain(torch.eye(2).to_sparse()), is_plain(torch.zeros(2, dtype=torch.int64))
        (True, False, False)
    """
    plain = type(tensor) in _PLAIN_TYPES and tensor.layout is torch.strided and tensor.dtype in _WIDE
    return plain and not tensor.is_nested


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor has one shape and a place in memory for each of its elements: neither sparse nor nested.

    Example:
        >>> is_dense(torch.zeros(2)), is_dense(torch.eye(2).to_sparse())
        (True, False)
    """
    return tensor.layout is torch.strided and not tensor.is_nested


def shape_of(tensor: torch.Tensor) -> list[int]:
    """The shape of a tensor; -1 along an axis of a nested one whose length differs from item to item.

    Example:
        >>> shape_of(torch.zeros(2, 3))
        [2, 3]
        >>> shape_of(torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(1, 3)], layout=torch.jagged))
        [2, -1, 3]
    """
    if not tensor.is_nested:
        return list(tensor.shape)
    lengths = zip(*(item.shape for item in tensor.detach().unbind()), strict=True)
    return [tensor.size(0), *(axis[0] if len(set(axis)) == 1 else -1 for axis in lengths)]


def _dense(values: torch.Tensor) -> torch.Tensor:
    if values.layout is torch.sparse_coo:
        return values.coalesce().values()
    if values.is_nested:
        return values.values() if values.is_contiguous() else _joined(values.unbind())
    if values.layout in _SPARSE:
        return values.values()
    return values if values.layout is torch.strided else values.to_dense()


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The elements of all of them; what a nested tensor stores may be more than what it shows."""
    return torch.cat([part.reshape(-1) for part in parts]) if parts else torch.zeros(0)


def accumulation_type(values: torch.Tensor) -> torch.dtype:
    """The dtype in which sums over `values` are made: float32, or float64 if that is what they are."""
    return torch.float64 if values.dtype is torch.float64 else torch.float32
