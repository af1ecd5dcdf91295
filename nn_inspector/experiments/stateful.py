"""Networks that keep a state of their own from one call to the next."""

from __future__ import annotations

from typing import Any

import torch

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments.isolation import TrainingCopy
from nn_inspector.experiments.random_state import preserved_random_state

_SAME = 1e-3
"""Relative; a device may add up in another order."""


def require_no_memory(copied: TrainingCopy, batch: Any) -> None:
    """Raise unless the copy has the same loss for the same batch a second time, in evaluation mode.

    A hidden state that a network holds on to between calls makes of its answers a matter of what it was asked before. The
    loop of its owner may begin it anew for each batch; an experiment that only calls the network does not.

    Raises:
        ExperimentError: the second loss is another one.
    """
    copied.model.eval()
    try:
        with torch.no_grad():
            first, second = (_loss(copied, batch) for _ in range(2))
    finally:
        copied.train_mode()
    if not torch.allclose(first, second, rtol=_SAME, equal_nan=True):
        raise ExperimentError(
            "Your network has another loss for the same batch the second time, in evaluation mode too: it keeps a state "
            "from one call to the next. What it would answer within your loop is not known."
        )


def _loss(copied: TrainingCopy, batch: Any) -> torch.Tensor:
    with preserved_random_state(0):
        return copied.loss(batch).detach()
