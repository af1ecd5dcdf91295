"""The training loop that is measured: as plain as in a tutorial, the same with and without a watcher."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.overhead.problems import Problem

AfterStep = Callable[[torch.Tensor], None]
"""What a watcher wants called after each step, with the loss."""


class Loop:
    """One copy of a training. Two copies of a problem take the same steps.

    Attributes:
        model, optimizer, loss_fn: what a watcher may attach to.
        after_step: called after each step, if the watcher needs that.
    """

    def __init__(self, problem: Problem, device: torch.device) -> None:
        torch.manual_seed(0)
        self.model = problem.network().to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.loss_fn = nn.CrossEntropyLoss()
        self.after_step: AfterStep | None = None
        self._device = device
        self._batches = itertools.cycle([(x.to(device), target.to(device)) for x, target in problem.batches()])

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def run(self, steps: int) -> float:
        """Train; returns the seconds it took, until the device is done as well.

        The garbage of earlier steps is collected before the clock starts.
        """
        gc.collect()
        gc.disable()
        self._wait()
        try:
            start = time.perf_counter()
            for inputs, target in itertools.islice(self._batches, steps):
                self.optimizer.zero_grad()
                loss = self.loss_fn(self.model(inputs), target)
                loss.backward()
                self.optimizer.step()
                if self.after_step is not None:
                    self.after_step(loss)
            self._wait()
            return time.perf_counter() - start
        finally:
            gc.enable()

    def _wait(self) -> None:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
