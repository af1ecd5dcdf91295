"""Notices when the training runs elsewhere: with a model and an optimizer that were made anew after watch()."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from nn_inspector.probes.any_step import AnyStep
from nn_inspector.probes.probe import Probe
from nn_inspector.probes.recorder import Recorder

ENOUGH = 3
"""Steps of another optimizer after which it is worth a word."""


class OtherSteps(Probe):
    """Counts the steps that other optimizers make while the watched ones make none.

    Args:
        recorder: says when an experiment of ours is running, whose optimizers do not count.
        optimizers: the watched ones; the list may grow.
        on_other: called with each other optimizer at its first step.
    """

    name = "other steps"

    def __init__(
        self, recorder: Recorder, optimizers: Sequence[Optimizer], on_other: Callable[[Optimizer], None]
    ) -> None:
        super().__init__(recorder)
        self._optimizers = optimizers
        self._on_other = on_other
        self._known: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self._others = self._since = 0
        self._alike = False
        self._held_as: str | None = None

    def attach(self) -> None:
        self.keep(AnyStep(self.hook(self._count), but=self._optimizers))

    def problem(self) -> str | None:
        """What is to be said, if anything.

        After the watched optimizers made steps, only one of parameters of the same shapes counts: any other trains
        another network.
        """
        if self._others < ENOUGH or self.recorder.step != self._since or not self._optimizers:
            return None
        if self.recorder.step and not self._alike:
            return None
        if self._held_as is not None:
            return (
                "The optimizer that is watched makes no steps, the one within it does: call watch() again with "
                f"optimizer.{self._held_as}."
            )
        return (
            "The optimizer that is watched makes no steps, another one does: run the cell with watch() again after the "
            "one that makes model and optimizer."
        )

    def _count(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.recorder.step != self._since:  # the watched ones have stepped as well
            self._others, self._since = 0, self.recorder.step
        if optimizer not in self._known:
            self._known.add(optimizer)
            self._on_other(optimizer)
        self._others += 1
        if self._others == ENOUGH:
            own = [_shapes(watched) for watched in self._optimizers]
            self._alike = _shapes(optimizer) in own
            held = [name for one in self._optimizers for name, value in vars(one).items() if value is optimizer]
            self._held_as = held[0] if held else None


def _shapes(optimizer: Optimizer) -> list[torch.Size]:
    return [parameter.shape for group in optimizer.param_groups for parameter in group["params"]]
