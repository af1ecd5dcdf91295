"""Finds the tensor in whatever a module takes or returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence


def first_tensor(value: Any) -> torch.Tensor | None:
    """The first floating-point or complex tensor in `value`, or its first tensor, or None.

    Looks into tuples, lists, mappings (model outputs of the transformers library are one), dataclasses and packed
    sequences.

    Example:
        >>> first_tensor({"logits": torch.zeros(2, 3), "ids": torch.zeros(2, dtype=torch.int64)}).shape
        torch.Size([2, 3])
    """
    if isinstance(value, torch.Tensor):
        return value
    tensors = all_tensors(value)
    return next((t for t in tensors if t.is_floating_point() or t.is_complex()), tensors[0] if tensors else None)


def all_tensors(value: Any, deepest: int = 3) -> list[torch.Tensor]:
    """The tensors in `value`, in order, down to `deepest` levels.

    Example:
        >>> [len(tensor) for tensor in all_tensors((torch.zeros(1), {"a": [torch.zeros(2), 3]}))]
        [1, 2]
    """
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    if isinstance(value, Mapping):
        value = list(value.values())
    elif is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name, None) for field in fields(value)]
    if isinstance(value, list | tuple) and deepest:
        return [tensor for part in value for tensor in all_tensors(part, deepest - 1)]
    return []
