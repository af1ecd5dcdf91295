"""What changes between the events of a loop without being called through torch: cleared gradients, new learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from nn_inspector.probes.recorder import Recorder

_WITNESSES = 3
_LARGE = 1 << 20


class BetweenEvents:
    """Looks at gradients and learning rates whenever something happens, and notes what is not as it was.

    Args:
        recorder: takes the entries "zero_grad" and "scheduler".
        optimizers: the watched ones; the list may grow.
    """

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer]) -> None:
        self._recorder = recorder
        self._optimizers = optimizers
        self._last = "start"
        self._has_gradient: dict[int, bool] = {}
        self._rates: dict[tuple[int, int], float] = {}

    def look(self, event: str) -> None:
        """An event is about to happen."""
        for index, optimizer in enumerate(self._optimizers):
            self._look_at_gradients(index, optimizer, event)
            self._look_at_rates(index, optimizer, event)
        self._last = event

    def note_gradients(self) -> None:
        """backward() has just ended: what gradients there are now are new."""
        for index, optimizer in enumerate(self._optimizers):
            self._has_gradient[index] = has_gradient(optimizer)

    def _look_at_gradients(self, index: int, optimizer: Optimizer, event: str) -> None:
        had, has = self._has_gradient.get(index, False), has_gradient(optimizer)
        self._has_gradient[index] = has
        if had and not has:
            self._recorder.trace("zero_grad", optimizer=index, at=[self._last, event])

    def _look_at_rates(self, index: int, optimizer: Optimizer, event: str) -> None:
        for number, rate in enumerate(learning_rates(optimizer)):
            before = self._rates.get((index, number), rate)
            self._rates[index, number] = rate
            if rate != before and not math.isnan(before):
                self._recorder.trace(
                    "scheduler", optimizer=index, group=number, before=before, after=rate, at=[self._last, event]
                )


def learning_rates(optimizer: Optimizer) -> list[float]:
    """The learning rate of each group; NaN where it has none, as where the optimizer finds its own."""
    rates = [group.get("lr") for group in optimizer.param_groups]
    return [math.nan if rate is None else float(rate) for rate in rates]


def has_gradient(optimizer: Optimizer) -> bool:
    """Whether any of a few parameters, small ones first, has a gradient that is not zero throughout."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    by_size = sorted(gradients, key=torch.Tensor.numel)
    small = [gradient for gradient in by_size if gradient.numel() <= _LARGE] or by_size[:1]
    chosen = small[:: max(1, len(small) // _WITNESSES)][: _WITNESSES + 1]
    return any(_not_zero(gradient) for gradient in chosen)


@torch.no_grad()
def _not_zero(gradient: torch.Tensor) -> bool:
    if gradient.is_sparse:
        gradient = gradient._values()
    if hasattr(gradient, "to_local"):
        gradient = gradient.to_local()
    return bool((gradient != 0).any())
