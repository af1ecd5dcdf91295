"""One copy from a device to the host, without making the training wait for it."""

from __future__ import annotations

import numpy as np
import torch


class Transfer:
    """Numbers on their way to the host.

    On CUDA the copy goes into pinned memory on the current stream and is asked for later; elsewhere it is made at once.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if values.is_cuda:
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._host = values.cpu()

    @property
    def ready(self) -> bool:
        """Whether the numbers have arrived."""
        return self._event is None or self._event.query()

    def numbers(self) -> np.ndarray:
        """The numbers; waits for them if they are not `ready`."""
        return self.tensor().numpy()

    def tensor(self) -> torch.Tensor:
        """The same as a tensor on the host."""
        if self._event is not None:
            self._event.synchronize()
        return self._host
