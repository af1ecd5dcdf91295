"""Which forward passes belong to the step that comes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.stats import is_plain


class Passes:
    """Tells several passes of one step (accumulation over micro-batches) from those that no step followed.

    A gradient scaler skips steps while it looks for its scale, and then no hook of the optimizer's is called. What tells
    is the gradient of a witness, a module of the optimizer's that was called in both passes: where it is cleared although
    a backward() has brought it one, what came before belongs to no step.

    Args:
        optimizers: the watched ones; the list may grow.

    Attributes:
        over: whether a backward() has come through the latest pass: what runs forward now is another one.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers
        self._owners: dict[int, int] | None = None
        self._witnesses: dict[int, nn.Module] = {}
        self._waiting: set[int] = set()
        self._cleared: set[int] = set()
        self.end_step()

    def end_step(self) -> None:
        """An optimizer steps: what comes belongs to another step."""
        self.over = False
        self._first = True
        if self._owners is not None and not self._witnesses:
            self._owners = None  # the model may have other parameters by now
        self._witnesses.clear()
        self._waiting.clear()
        self._cleared.clear()

    def begin(self) -> bool:
        """Another pass begins.

        Returns:
            Whether the passes so far belong to no step, for certain.
        """
        self.over = False
        self._first = len(self._optimizers) == 1 and all(map(_is_cleared, self._witnesses.values()))
        self._waiting.clear()
        self._cleared.clear()
        return self._first

    def witness(self, module: nn.Module) -> int | None:
        """Which optimizer's witness this module is, if its gradient is still to be looked at in this pass."""
        if len(self._waiting) == len(self._optimizers):
            return None
        for parameter in module.parameters(recurse=False):
            owner = self._owner(parameter) if parameter.requires_grad else None
            if owner is not None and owner not in self._waiting and self._witnesses.setdefault(owner, module) is module:
                self._waiting.add(owner)
                return owner
        return None

    def arrive(self, owner: int) -> bool:
        """A backward() is about to bring a witness its gradient.

        Returns:
            Whether the passes before this one belong to no step, for certain.
        """
        if not self.over:
            self.over = True
            self._cleared.clear()
        if self._first or owner not in self._witnesses or not _is_cleared(self._witnesses[owner]):
            return False
        self._cleared.add(owner)
        return len(self._optimizers) == 1

    def belonged_to_no_step(self, optimizer_index: int) -> bool:
        """Whether the passes before the latest one did not, now that it is known which optimizer steps."""
        return optimizer_index in self._cleared and len(self._optimizers) > 1

    def _owner(self, parameter: torch.Tensor) -> int | None:
        if self._owners is None:
            self._owners = {
                id(held): index
                for index, optimizer in enumerate(self._optimizers)
                for group in optimizer.param_groups
                for held in group["params"]
            }
        return self._owners.get(id(parameter))


def _is_cleared(module: nn.Module) -> bool:
    """Whether no parameter of its own has a gradient. Whether one is all zero is looked at where nothing waits for it."""
    gradients = [p.grad for p in module.parameters(recurse=False) if p.requires_grad and p.grad is not None]
    return all(one.device.type == "cpu" and is_plain(one) and not bool(one.any()) for one in gradients)
