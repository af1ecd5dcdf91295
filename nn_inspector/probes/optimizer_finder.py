"""Notices which optimizers step, where the user named none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from nn_inspector.probes.any_step import AnyStep
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Recorder


class OptimizerFinder(Probe):
    """Looks at the steps of all optimizers.

    Args:
        recorder: says when an experiment of ours is running, whose optimizers do not count.
        on_step: called with each optimizer that is about to step.
    """

    name = "optimizer finder"

    def __init__(self, recorder: Recorder, on_step: Callable[[Optimizer], None]) -> None:
        super().__init__(recorder)
        self._on_step = on_step

    def attach(self) -> None:
        self.keep(AnyStep(self.hook(self._look)))

    def _look(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._on_step(optimizer)
