"""The latest training batches, until it is known whether the loss of their step is worth a look."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import torch

MOST = 256
"""At most so many batches are held."""

MOST_BYTES = 64 << 20
"""Tensors of so many bytes at most are held beyond the batch at hand, which the training holds itself."""


@dataclass(slots=True)
class HeldBatch:
    """One call of the model and what the loss was computed of, by reference: nothing is copied.

    Attributes:
        step: optimizer steps complete when it came.
        given: what the sampler gave for it, mostly a list of indices; None where that is not known.
        inputs: what the model was called with; None where items may not be kept.
        prediction, target: what the loss was given; None where that was not seen.
        size: bytes of these.
    """

    step: int
    given: Any
    inputs: torch.Tensor | None
    size: int
    prediction: torch.Tensor | None = None
    target: torch.Tensor | None = None


class RecentBatches:
    """Holds references to the latest batches, within bounds, and drops them as soon as they are of no use.

    On the host, that is at the end of their step. On a device the loss arrives some steps later; of batches too large
    to wait for it the tensors are dropped first and the indices stay. What the loop changes in place meanwhile is seen
    as it is then: inputs that are overwritten by the next batch would be shown as those of the next batch.
    """

    def __init__(self) -> None:
        self._held: deque[HeldBatch] = deque()
        self._bytes = 0

    @property
    def step(self) -> int | None:
        """The step of the batch at hand."""
        return self._held[-1].step if self._held else None

    def begin(self, step: int, given: Any, inputs: torch.Tensor | None) -> None:
        """The model is called on another batch."""
        size = inputs.nbytes if inputs is not None else 0
        self._held.append(HeldBatch(step, given, inputs, size))
        self._bytes += size
        if self._bytes > MOST_BYTES or len(self._held) > MOST:
            self._shrink()

    def pair(self, prediction: object, target: object) -> None:
        """The loss of the batch at hand is computed of these two."""
        if not self._held or not isinstance(prediction, torch.Tensor) or not isinstance(target, torch.Tensor):
            return
        size, batch = prediction.nbytes + target.nbytes, self._held[-1]
        if size > MOST_BYTES or batch.prediction is not None:
            return
        batch.prediction, batch.target = prediction.detach(), target.detach() if target.requires_grad else target
        batch.size += size
        self._bytes += size
        if self._bytes > MOST_BYTES:
            self._shrink()

    def of(self, step: int) -> list[HeldBatch]:
        """The batches of a step, or of the one before if none has come since: its loss was told afterwards."""
        held = [batch for batch in self._held if batch.step == step]
        if held or not self._held or self._held[-1].step != step - 1:
            return held
        return [batch for batch in self._held if batch.step == step - 1]

    def forget(self, step: int) -> None:
        """The batches of this step, and of those before, are of no use any more."""
        held = self._held
        while held and held[0].step <= step:
            self._bytes -= held.popleft().size

    def clear(self) -> None:
        """Hold nothing."""
        self._held.clear()
        self._bytes = 0

    def _shrink(self) -> None:
        while len(self._held) > MOST:
            self._bytes -= self._held.popleft().size
        for batch in list(self._held)[:-1]:
            if self._bytes <= MOST_BYTES:
                return
            self._bytes -= batch.size
            batch.inputs = batch.prediction = batch.target = None
            batch.size = 0
