"""What a batch holds: its labels and a fingerprint, read without touching it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

LABEL_KEYS = ("labels", "label", "targets", "target", "y")
"""Keys under which a batch that is a mapping is taken to hold its labels."""

_MOST_CLASSES = 10_000
_DENSE_BATCHES = 64
_STRIDE = 8


def labels_of(batch: Any) -> torch.Tensor | None:
    """The labels in a batch: the last of a sequence, or what stands under one of `LABEL_KEYS`; None if there are none.

    Example:
        >>> labels_of((torch.zeros(3, 2), torch.tensor([0, 1, 2])))
        tensor([0, 1, 2])
    """
    if isinstance(batch, Mapping):
        found = next((batch[key] for key in LABEL_KEYS if key in batch), None)
    elif isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) > 1:
        found = batch[-1]
    else:
        found = None
    return found if isinstance(found, torch.Tensor) else None


def class_labels(batch: Any) -> np.ndarray | None:
    """The labels as int64 [items] if they are class numbers on the host, else None."""
    labels = labels_of(batch)
    if labels is None or labels.is_floating_point() or labels.is_complex() or labels.device.type != "cpu":
        return None
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dim() != 1 or labels.numel() == 0:
        return None
    values: np.ndarray = labels.detach().to(torch.int64).numpy()
    return values if values.min() >= 0 and values.max() < _MOST_CLASSES else None


def fingerprint(value: Any, start: int = 0) -> int:
    """A checksum of the tensors on the host in `value`, over a bounded number of their elements."""
    if isinstance(value, torch.Tensor):
        if value.device.type != "cpu" or value.numel() == 0 or value.is_sparse:
            return start
        flat = value.detach().reshape(-1)[:: max(1, value.numel() // 64)]
        plain = torch.view_as_real(flat) if flat.is_complex() else flat
        return zlib.crc32(plain.to(torch.float64).numpy().tobytes(), start)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            start = fingerprint(part, start)
    return start


@dataclass(slots=True)
class Epoch:
    """What one pass over a loader held, in the order in which it came.

    To stay cheap, the contents are read in the first passes and then ever more rarely, and within a pass in the first
    batches and then in every few (see `reads`).

    Attributes:
        loader: "train" or "validation".
        number: which pass over this loader, from 0.
        first_step: optimizer steps complete when it began.
        batches: how many came so far. complete: whether the loader came to its end.
        read: in how many of them the contents were read; what follows speaks of those.
        order: checksum over the batches in their order; equal in two passes that held the same in the same order.
        items: items whose labels are class numbers.
        class_counts: int64 [classes], items of each class.
        pairs, same_pairs: neighbours within a batch, and how many of them have the same label.
        one_class_batches: batches of two or more items that hold one class only.
    """

    loader: str
    number: int
    first_step: int
    batches: int = 0
    complete: bool = False
    read: int = 0
    order: int = 0
    items: int = 0
    class_counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pairs: int = 0
    same_pairs: int = 0
    one_class_batches: int = 0

    def add(self, batch: Any) -> None:
        """Take the next batch into account."""
        if self.reads(self.batches):
            self._read(batch)
        self.batches += 1

    def reads(self, index: int) -> bool:
        """Whether the contents of batch `index` are read in this pass.

        Example:
            >>> [Epoch("train", number, 0).reads(0) for number in range(10)].count(True)  # 0, 1, 2, 4, 8
            5
        """
        return self.number & (self.number - 1) == 0 and (index < _DENSE_BATCHES or index % _STRIDE == 0)

    def _read(self, batch: Any) -> None:
        self.read += 1
        self.order = fingerprint(batch, self.order)
        labels = class_labels(batch)
        if labels is None:
            return
        counts = np.bincount(labels, minlength=len(self.class_counts))
        counts[: len(self.class_counts)] += self.class_counts
        one_class = counts[labels[0]] - self._known(labels[0]) == len(labels)
        self.class_counts = counts
        self.items += len(labels)
        self.pairs += len(labels) - 1
        self.same_pairs += int(np.count_nonzero(labels[1:] == labels[:-1]))
        self.one_class_batches += int(len(labels) > 1 and one_class)

    def _known(self, label: int) -> int:
        return int(self.class_counts[label]) if label < len(self.class_counts) else 0
