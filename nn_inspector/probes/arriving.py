"""Batches that lie on a CUDA device, read once their copies have come: the training does not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from nn_inspector.probes.transfer import Transfer

MOST_BYTES = 1 << 20
"""A larger tensor is not copied: labels and tokens are smaller."""


class ArrivingBatch:
    """A batch on its way to the host.

    What is too large to be copied, or is no plain tensor, is left out: an empty tensor stands in its place.
    """

    def __init__(self, batch: Any) -> None:
        self._transfers: dict[int, Transfer] = {}
        self._batch = _with_tensors(batch, self._send)

    @property
    def ready(self) -> bool:
        """Whether all of it has arrived."""
        return all(transfer.ready for transfer in self._transfers.values())

    def batch(self) -> Any:
        """The batch with its tensors on the host; waits for them if they are not `ready`."""
        return _with_tensors(
            self._batch, lambda one: self._transfers[id(one)].tensor() if id(one) in self._transfers else one
        )

    def _send(self, tensor: torch.Tensor) -> torch.Tensor:
        if not lies_elsewhere(tensor):
            return tensor
        place = torch.empty(0)
        plain = tensor.layout is torch.strided and not tensor.is_quantized
        if plain and tensor.nbytes <= MOST_BYTES:
            self._transfers[id(place)] = Transfer(tensor.detach())
        return place


def lies_elsewhere(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies where a copy to the host does not stop the training."""
    return tensor.is_cuda


def is_elsewhere(batch: Any) -> bool:
    """Whether any tensor of a batch lies on a CUDA device.

    Example:
        >>> is_elsewhere((torch.zeros(3, 2), {"label": torch.tensor([0, 1, 2])}))
        False
    """
    found: list[bool] = []

    def look(tensor: torch.Tensor) -> torch.Tensor:
        found.append(lies_elsewhere(tensor))
        return tensor

    _with_tensors(batch, look)
    return any(found)


def _with_tensors(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """A structure of mappings, lists and tuples with its tensors changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _with_tensors(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_with_tensors(part, change) for part in value))
    if type(value) in (list, tuple):
        return type(value)(_with_tensors(part, change) for part in value)
    return value
