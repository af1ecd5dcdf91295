"""Sees whether something takes back what the optimizer has just changed, or shrinks it, before the model is called with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from nn_inspector.probes.recorder import Recorder

_WITNESSES = 3
_NUMBERS = 64

Numbers = list[torch.Tensor]


class Undoing:
    """Compares a few numbers of the weights in the first steps: before a step, after it, and when the model is called next.

    Their values are compared: what writes to `.data` is not counted in a tensor's version.

    Args:
        recorder: takes the entries "undone": "share" of a step's change is taken back, in the parameter where that is least,
            and "apart" is how much of what was changed then is something else, from 0 (nothing) to 1 (all). And "shrunk":
            "share" is what is taken of the weights themselves.
        optimizers: the watched ones; the list may grow.
    """

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer]) -> None:
        self._recorder = recorder
        self._optimizers = optimizers
        self._before: dict[int, Numbers] = {}
        self._stepped: dict[int, tuple[Numbers, Numbers]] = {}

    def before_step(self, index: int) -> None:
        """An optimizer is about to step."""
        self._before[index] = numbers_of(self._optimizers[index])

    def after_step(self, index: int) -> None:
        """It has stepped."""
        before = self._before.pop(index, None)
        if before is not None:
            self._stepped[index] = before, numbers_of(self._optimizers[index])

    def forward(self) -> None:
        """The model is about to be called."""
        stepped, self._stepped = self._stepped, {}
        for index, (before, after) in stepped.items():
            now = numbers_of(self._optimizers[index])
            if [one.shape for one in before] == [one.shape for one in after] == [one.shape for one in now]:
                changes = differences(now, after)
                self._note("undone", index, taken_back(differences(after, before), changes))
                self._note("shrunk", index, taken_back(after, changes))

    def _note(self, call: str, index: int, found: tuple[float, float] | None) -> None:
        if found is not None:
            self._recorder.trace(call, optimizer=index, share=found[0], apart=found[1])


def taken_back(steps: Numbers, changes: Numbers) -> tuple[float, float] | None:
    """How much of `steps`, or of other numbers, the `changes` after them take back, and how much of the changes is something else.

    Returns:
        The share of the parameter where it is least, and the rest over all of the change; None if there is no change.
    """
    moved = [(step, change) for step, change in zip(steps, changes, strict=True) if step.any()]
    changed = float(torch.cat(changes).norm()) if changes else 0.0
    if not moved or not changed:
        return None
    share = min(-float(change @ step) / float(step @ step) for step, change in moved)
    rest = torch.cat([change + share * step for step, change in moved])
    return share, float(rest.norm()) / changed


@torch.no_grad()
def numbers_of(optimizer: Optimizer) -> Numbers:
    """A few numbers of the weights that it steps."""
    held = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    dense = [p.detach() for p in held if _is_plain(p)]
    chosen = dense[:: max(1, len(dense) // _WITNESSES)][:_WITNESSES]
    flat = [one.reshape(-1)[:: max(1, one.numel() // _NUMBERS)][:_NUMBERS] for one in chosen]
    return [one.to("cpu", torch.float64, copy=True) for one in flat]


def _is_plain(parameter: torch.Tensor) -> bool:
    if isinstance(parameter, UninitializedParameter) or parameter.is_meta or hasattr(parameter, "to_local"):
        return False
    return parameter.layout == torch.strided and parameter.is_floating_point() and parameter.numel() > 0


def differences(ones: Numbers, others: Numbers) -> Numbers:
    """Of each parameter."""
    return [one - other for one, other in zip(ones, others, strict=True)]
