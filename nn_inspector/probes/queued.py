"""Numbers on a device that wait to be sent to the host, and how they travel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from nn_inspector.probes.merging import Merged, Read

Pack = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Queued:
    """Numbers on a device, and what is to become of them; see `Recorder.put`."""

    values: torch.Tensor
    read: Read
    merged: Merged
    pack: Pack | None
    label: str
    skipped: torch.Tensor | None

    @property
    def size(self) -> int:
        """How many numbers of float32 are sent for these."""
        return self.values.numel() * (2 if self.values.dtype is torch.float64 else 1)

    def to_send(self) -> list[torch.Tensor]:
        """Its numbers as float32, and behind them whether the step was skipped. Of float64 the bits are sent."""
        values = self.values
        if values.dtype is torch.float64:
            values = values.contiguous().view(torch.float32)
        elif values.dtype is not torch.float32:
            values = values.to(torch.float32)
        sent = [values]
        if self.skipped is not None:
            sent.append(self.skipped.detach().reshape(-1)[:1].to(values.device, torch.float32))
        return sent

    def received(self, numbers: np.ndarray) -> np.ndarray:
        """What was sent, as float64."""
        wide = self.values.dtype is torch.float64
        return numbers.view(np.float64).copy() if wide else numbers.astype(np.float64)
