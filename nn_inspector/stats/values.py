"""Any tensor as plain real numbers: the one place that knows dtypes, layouts and tensor types."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)
_WIDE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def real_values(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor in a form that every function of torch can compute with.

    Sparse tensors (COO, CSR, CSC, BSR, BSC) give the values that they store, nested ones those of their items; a DTensor gives the part
    on this process; complex values give their magnitudes; integers, bool and float8 become float32.

    Args:
        tensor: any tensor that has values (not meta). It is not changed; what comes back may share its memory.

    Returns:
        A dense tensor of float16, bfloat16, float32 or float64 outside of any graph, of any shape.

    Example:
        >>> real_values(torch.tensor([3 + 4j, 0]))
        tensor([5., 0.])
        >>> real_values(torch.eye(2, dtype=torch.int64).to_sparse())
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
    return values if values.dtype in _WIDE else values.to(torch.float32)


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
    if values.layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
        return values.values()
    return values if values.layout is torch.strided else values.to_dense()


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The elements of all of them; what a nested tensor stores may be more than what it shows."""
    return torch.cat([part.reshape(-1) for part in parts]) if parts else torch.zeros(0)


def accumulation_type(values: torch.Tensor) -> torch.dtype:
    """The dtype in which sums over `values` are made: float32, or float64 if that is what they are."""
    return torch.float64 if values.dtype is torch.float64 else torch.float32
