"""What one pass over a loader held, read batch by batch without touching them."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nn_inspector.probes.arriving import ArrivingBatch, is_elsewhere
from nn_inspector.probes.label_order import LabelOrder
from nn_inspector.probes.labels import find_labels
from nn_inspector.probes.lengths import Lengths, find_lengths
from nn_inspector.stats import is_dense

_DENSE_BATCHES = 64
_STRIDE = 8
_FINGERPRINTED = 64

_READING = threading.Lock()
"""Who trains and who writes the run file may both find that a batch has arrived."""


def fingerprint(value: Any, start: int = 0) -> int:
    """A checksum of the tensors on the host, arrays, numbers and texts in `value`, over a bounded number of their elements.

    Returns:
        `start` where there is nothing that can be read.
    """
    if isinstance(value, torch.Tensor):
        if value.device.type != "cpu" or value.numel() == 0 or not is_dense(value) or value.is_quantized:
            return start
        flat = value.detach().reshape(-1)[:: max(1, value.numel() // _FINGERPRINTED)]
        plain = torch.view_as_real(flat) if flat.is_complex() else flat
        return zlib.crc32(plain.to(torch.float64).numpy().tobytes(), start)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        sample = value.reshape(-1)[:: max(1, value.size // _FINGERPRINTED)]
        return zlib.crc32(sample.astype(np.complex128).tobytes(), start)
    if isinstance(value, str | bytes | int | float):
        return zlib.crc32(str(value)[:_FINGERPRINTED].encode(errors="replace"), start)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value[: 8 * _FINGERPRINTED]:
            start = fingerprint(part, start)
    return start


@dataclass
class Epoch:
    """What one pass over a loader held, in the order in which it came.

    To stay cheap, the contents are read in the first passes and then ever more rarely, and within a pass in the first
    batches and then in every few (see `reads`). What lies on a CUDA device is copied meanwhile and read when it has come.

    Attributes:
        loader: "train" or "validation".
        number: which pass over this loader, from 0.
        first_step: optimizer steps complete when it began.
        batches: how many came so far.
        complete: whether the loader came to its end.
        read: in how many of them the contents were read; what follows speaks of those.
        order: checksum over the batches in their order; equal in two passes that held the same in the same order, and 0
            where nothing could be read.
        class_counts: int64 [classes], items of each class, where the last part of the batches holds class numbers.
        lengths: of the sequences in the batches, where there are any.
        parts: what may be the labels, by its place in the batch. It stays in memory: a run file holds the rest.
    """

    loader: str
    number: int
    first_step: int
    batches: int = 0
    complete: bool = False
    read: int = 0
    order: int = 0
    class_counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    lengths: Lengths = field(default_factory=Lengths)

    def __post_init__(self) -> None:
        self.parts: dict[str, LabelOrder] = {}
        self._arriving: deque[ArrivingBatch] = deque()

    def add(self, batch: Any) -> None:
        """Take the next batch into account."""
        if self.reads(self.batches):
            if self._arriving or is_elsewhere(batch):
                self._arriving.append(ArrivingBatch(batch))
            else:
                self._read(batch)
        self.batches += 1
        self.settle(wait=False)

    def reads(self, index: int) -> bool:
        """Whether the contents of batch `index` are read in this pass.

        Example:
            >>> [Epoch("train", number, 0).reads(0) for number in range(10)].count(True)  # 0, 1, 2, 4, 8
            5
        """
        return self.number & (self.number - 1) == 0 and (index < _DENSE_BATCHES or index % _STRIDE == 0)

    def settle(self, *, wait: bool = True) -> None:
        """Read what has arrived from a device.

        Args:
            wait: also for what is still on its way.
        """
        if not self._arriving:
            return
        with _READING:
            while self._arriving and (wait or self._arriving[0].ready):
                self._read(self._arriving.popleft().batch())

    def _read(self, batch: Any) -> None:
        self.read += 1
        self.order = fingerprint(batch, self.order)
        self.lengths += find_lengths(batch)
        found = find_labels(batch)
        for labels in found:
            if labels.place not in self.parts:
                self.parts[labels.place] = LabelOrder(labels)
            self.parts[labels.place].add(labels)
        if found and found[-1].classes is not None:
            counts = np.bincount(found[-1].classes, minlength=len(self.class_counts))
            counts[: len(self.class_counts)] += self.class_counts
            self.class_counts = counts
