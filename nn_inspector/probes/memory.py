"""How much memory the training takes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder

_EVERY = 1.0
"""Seconds between two looks."""

_STATM = Path("/proc/self/statm")


class MemoryProbe(StepReader):
    """Memory of this process that is resident, and what torch has allocated on the model's CUDA device.

    Where the system does not say how much is resident now (macOS), it is the most that ever was; on Windows it is not
    measured.
    """

    name = "memory"

    def __init__(self, recorder: Recorder, model: nn.Module) -> None:
        super().__init__(recorder)
        self._model = model
        self._next = 0.0

    def after_step(self, optimizer_index: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        resident = resident_bytes()
        if resident is not None:
            self.recorder.record("memory_bytes", "process", float(resident))
        device = next((parameter.device for parameter in self._model.parameters()), None)
        if device is not None and device.type == "cuda":
            self.recorder.record("memory_bytes", str(device), float(torch.cuda.memory_allocated(device)))


def resident_bytes() -> int | None:
    """Bytes of this process in memory; None where the system does not say.

    Example:
        >>> (resident_bytes() or 2**21) > 2**20
        True
    """
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
