"""How long the sequences in a batch are, and how much of it is padding, read without touching them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from nn_inspector.stats import is_dense

_SHORTEST = 16
"""Rows of fewer whole numbers may be columns of a table; they are taken for sequences only if some are padded."""

_MOST_PLACES = 1 << 15
"""So many places of a batch are looked at, of the first items; of frames the first few features."""

_FEATURES = 2


@dataclass(frozen=True, slots=True)
class Lengths:
    """The sequences that were read.

    Attributes:
        sequences: how many there were; 0 where none were found.
        shortest, longest: of them, without padding.
        elements: of all of them together, without padding.
        places: for elements and padding together.
    """

    sequences: int = 0
    shortest: int = 0
    longest: int = 0
    elements: int = 0
    places: int = 0

    @property
    def mean(self) -> float:
        """Mean length without padding; 0 where there are no sequences."""
        return self.elements / self.sequences if self.sequences else 0.0

    @property
    def padding(self) -> float:
        """Share of the places that hold padding."""
        return 1 - self.elements / self.places if self.places else 0.0

    def __add__(self, other: Lengths) -> Lengths:
        """Those of both."""
        if not self.sequences or not other.sequences:
            return self if self.sequences else other
        return Lengths(
            self.sequences + other.sequences,
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
            self.elements + other.elements,
            self.places + other.places,
        )


def find_lengths(batch: Any) -> Lengths:
    """The lengths of the sequences in a batch.

    They are those of a packed sequence, a nested tensor, a list of tensors, an attention mask, whole numbers [items, length] or
    numbers [items, length, features]. Padding is evident where one value fills the ends of rows (or their beginnings)
    and stands nowhere else. Numbers without padding may be images and are none; what is not on the host is left out.

    Example:
        >>> found = find_lengths((torch.tensor([[7, 3, 0, 0], [5, 9, 2, 4]]), torch.tensor([0, 1])))
        >>> (found.shortest, found.mean, found.longest, found.padding)
        (2, 3.0, 4, 0.25)
    """
    for part in _parts(batch):
        found = _of_part(part)
        if found.sequences:
            return found
    return Lengths()


def _parts(batch: Any) -> Iterator[Any]:
    """Where the inputs may be, the likeliest first."""
    if isinstance(batch, Mapping):
        masks = [key for key in batch if "mask" in str(key).lower() and "attention" in str(key).lower()]
        yield from (_Mask(batch[key]) for key in masks)
        yield from (part for key, part in batch.items() if not _is_of_labels(str(key).lower()))
    elif isinstance(batch, PackedSequence) or not isinstance(batch, Sequence):
        yield batch
    elif batch and not isinstance(batch, str | bytes):
        first = batch[0]
        if isinstance(first, Mapping):
            yield from _parts(first)
        else:
            yield first


@dataclass(frozen=True, slots=True)
class _Mask:
    values: Any


def _is_of_labels(name: str) -> bool:
    return "label" in name or "target" in name or "mask" in name


def _of_part(part: Any) -> Lengths:
    if isinstance(part, PackedSequence):
        together = part.batch_sizes.numpy()  # always on the host
        lengths = (together[:, None] > np.arange(together[0])).sum(0)
        return _summed(lengths, int(lengths.sum()))
    if isinstance(part, list) and part and all(isinstance(one, torch.Tensor) and one.dim() in (1, 2) for one in part):
        lengths = np.array([len(one) for one in part])
        return _summed(lengths, int(lengths.sum()))
    if isinstance(part, torch.Tensor) and part.is_nested:
        lengths = np.array([len(one) for one in part.detach().unbind()])
        return _summed(lengths, int(lengths.sum()))
    values = part.values if isinstance(part, _Mask) else part
    if not isinstance(values, torch.Tensor) or values.device.type != "cpu" or not is_dense(values):
        return Lengths()
    if values.numel() == 0 or values.is_complex() or values.is_quantized or values.dim() not in (2, 3):
        return Lengths()
    return _of_tensor(values.detach(), is_mask=isinstance(part, _Mask))


def _of_tensor(values: torch.Tensor, *, is_mask: bool) -> Lengths:
    items, length = values.shape[:2]
    items = min(items, max(1, _MOST_PLACES // length))
    values = values[:items]
    if is_mask:
        return _summed((values != 0).sum(1).numpy(), items * length) if values.dim() == 2 else Lengths()
    if values.dim() == 3:
        numbers = values[:, :, :_FEATURES].numpy() if values.dtype in (torch.float32, torch.float64) else None
        lengths = _without_ends(numbers, 0.0) if numbers is not None else None
        return _summed(lengths, items * length) if lengths is not None else Lengths()
    if values.dtype not in (torch.int64, torch.int32):
        return Lengths()
    numbers = values.numpy()
    for corner in (numbers[:, -1], numbers[:, 0]):
        candidates, counts = np.unique(corner, return_counts=True)
        lengths = _without_ends(numbers[:, :, None], candidates[counts.argmax()])
        if lengths is not None:
            return _summed(lengths, items * length)
    return _summed(np.full(items, length), items * length) if length >= _SHORTEST else Lengths()


def _without_ends(rows: np.ndarray, padding: float) -> np.ndarray | None:
    """Lengths [items] of rows [items, length, features] whose ends are padding; None where that is not evident.

    It is where padding stands at one side alone, in one row at least twice, and not in every row as often.
    """
    ends = [(rows[:, side] == padding).all((1, 2)).any() for side in (slice(-2, None), slice(2))]
    if not any(ends):
        return None
    is_padding = functools.reduce(np.logical_and, (rows[:, :, k] == padding for k in range(rows.shape[2])))
    for padded in (is_padding, is_padding[:, ::-1]):
        held = np.count_nonzero(padded, axis=1)
        at_end = np.where(held == padded.shape[1], held, padded[:, ::-1].argmin(1))
        if np.array_equal(at_end, held) and at_end.max() > 1 and at_end.min() < at_end.max():
            lengths: np.ndarray = padded.shape[1] - at_end
            return lengths
    return None


def _summed(lengths: np.ndarray, places: int) -> Lengths:
    if not len(lengths):
        return Lengths()
    return Lengths(len(lengths), int(lengths.min()), int(lengths.max()), int(lengths.sum()), places)
