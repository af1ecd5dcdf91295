"""Sees whether the loop multiplies its gradients between backward() and step(), as one that has scaled its loss has to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from nn_inspector.probes.clipping import Clip
from nn_inspector.probes.recorder import Recorder

_WITNESSES = 3
_NUMBERS = 64
_TOLERANCE = 1e-3
_SLIGHT = 0.01
_CLIP_EPSILON = 1e-6
"""What torch adds to the norm before it divides by it."""


class Rescaling:
    """Compares a few numbers of the gradients after backward(), where they are clipped, and at the step.

    Args:
        recorder: takes the entries "rescale": by what factors they were multiplied before clipping and after it, apart from
            the clipping itself. Where nothing is clipped all of it is "after".
        optimizers: the watched ones; the list may grow.

    Attributes:
        factor: by which all gradients were multiplied at every step so far; None where that was not always the same.
    """

    def __init__(self, recorder: Recorder, optimizers: Sequence[Optimizer]) -> None:
        self._recorder = recorder
        self._optimizers = optimizers
        self._made: dict[int, torch.Tensor] = {}
        self._at_clip: dict[int, torch.Tensor] = {}
        self._clip: Clip | None = None
        self._is_known = True
        self._factors: list[float] = []

    @property
    def factor(self) -> float | None:
        first = self._factors[0] if self._factors else None
        if first is None or any(abs(one - first) > _SLIGHT * first for one in self._factors):
            return None
        return first

    def note_gradients(self) -> None:
        """backward() has just ended."""
        self._made = {index: _numbers(one) for index, one in enumerate(self._optimizers)}
        self._at_clip, self._clip, self._is_known = {}, None, True

    def clips(self, clip: Clip) -> None:
        """Clipping is about to begin. Of several, or one of single numbers, its share cannot be told."""
        self._is_known &= clip.norm is not None and self._clip is None and bool(self._made)
        self._clip = clip
        if self._is_known:
            self._at_clip = {index: _numbers(one) for index, one in enumerate(self._optimizers)}

    def step(self, index: int) -> None:
        """An optimizer is about to step."""
        made = self._made.get(index)
        if made is None or not self._is_known:
            return
        at_clip = self._at_clip.get(index, made)
        before, after = _ratio(made, at_clip), _ratio(at_clip, _numbers(self._optimizers[index]))
        if before is None or after is None:
            return
        if self._clip is not None and self._clip.norm is not None:
            after /= min(1.0, self._clip.limit / (self._clip.norm + _CLIP_EPSILON)) or math.inf
        self._factors.append(before * after)
        if abs(before - 1) > _SLIGHT or abs(after - 1) > _SLIGHT:
            self._recorder.trace("rescale", optimizer=index, before=before, after=after)


@torch.no_grad()
def _numbers(optimizer: Optimizer) -> torch.Tensor:
    """A few numbers of the gradients of some parameters, on the host."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    dense = [one for one in gradients if one.layout == torch.strided and one.is_floating_point() and one.numel()]
    dense = [one for one in dense if not hasattr(one, "to_local")]
    chosen = dense[:: max(1, len(dense) // _WITNESSES)][:_WITNESSES]
    flat = [one.reshape(-1)[:: max(1, one.numel() // _NUMBERS)][:_NUMBERS] for one in chosen]
    return torch.cat([one.to("cpu", torch.float64) for one in flat]) if flat else torch.empty(0)


def _ratio(before: torch.Tensor, after: torch.Tensor) -> float | None:
    """The one factor between two vectors; None where there is none, or one of them is zero or not finite."""
    if before.shape != after.shape or not before.numel():
        return None
    square = float(before @ before)
    factor = float(before @ after) / square if square else math.nan
    if not math.isfinite(factor) or factor <= 0:
        return None
    apart = float((after - factor * before).norm())
    return factor if apart <= _TOLERANCE * float(after.norm()) else None
