"""Batches that lie on a CUDA device, read once their copies have come: the training does not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
        self._sent = _mapped(batch, _send)

    @property
    def ready(self) -> bool:
        """Whether all of it has arrived."""
        return all(one.ready for one in _leaves(self._sent) if isinstance(one, Transfer))

    def batch(self) -> Any:
        """The batch with its tensors on the host; waits for them if they are not `ready`."""
        return _mapped(self._sent, lambda one: one.tensor() if isinstance(one, Transfer) else one)


def lies_elsewhere(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies where a copy to the host does not stop the training."""
    return tensor.is_cuda


def is_elsewhere(batch: Any) -> bool:
    """Whether any tensor of a batch lies on a CUDA device.

    Example:
        >>> is_elsewhere((torch.zeros(3, 2), {"label": torch.tensor([0, 1, 2])}))
        False
    """
    return any(isinstance(one, torch.Tensor) and lies_elsewhere(one) for one in _leaves(batch))


def _send(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor) or not lies_elsewhere(leaf):
        return leaf
    plain = leaf.layout is torch.strided and not leaf.is_quantized
    return Transfer(leaf.detach()) if plain and leaf.nbytes <= MOST_BYTES else torch.empty(0)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if type(value) in (list, tuple) or hasattr(value, "_fields"):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A structure of mappings, lists and tuples with its leaves changed."""
    if isinstance(value, Mapping):
        return {key: _mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(part, change) for part in value))
    if type(value) in (list, tuple):
        return type(value)(_mapped(part, change) for part in value)
    return change(value)
