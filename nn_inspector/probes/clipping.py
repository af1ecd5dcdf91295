"""Recognizes torch's clipping of gradients and unscaling by the functions of torch that call what is seen.

`clip_grad_norm_` does not pass through a function mode as a whole: only the operations that it consists of do. Which of them
belong to it is read from the Python frames above, so that it is found however it was imported.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch
from torch.nn.utils import clip_grad

_FARTHEST = 20
"""So many Python frames are looked at; those of ours that report a call are among them."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Gradients are being clipped.

    Attributes:
        kind: "norm" or "value".
        limit: what they are clipped to.
        norm: their norm before that; None where they are clipped by value.
        frame: tells one call from the next while it runs.
    """

    kind: str
    limit: float
    norm: float | None
    frame: int


def find_clip(name: str) -> Clip | None:
    """The clipping that calls the function `name` just now, if any does."""
    if name == "tensor":  # what it returns where there is no gradient at all
        frame = next((frame for frame in frames() if frame.f_code in _NORM), None)
        return Clip("norm", float(frame.f_locals["max_norm"]), 0.0, id(frame)) if frame is not None else None
    if "clamp" not in name:
        return None
    for frame in frames():
        if frame.f_code in _NORM:
            norm = frame.f_locals.get("total_norm")
            if isinstance(norm, torch.Tensor):
                return Clip("norm", float(frame.f_locals["max_norm"]), float(norm.detach()), id(frame))
        elif frame.f_code in _VALUE:
            return Clip("value", float(frame.f_locals["clip_value"]), None, id(frame))
    return None


def find_unscaling(name: str) -> bool | None:
    """Whether a gradient scaler that calls the function `name` just now was told to unscale; None if there is none."""
    if name != "_amp_foreach_non_finite_check_and_unscale_":
        return None
    return not any(frame.f_code is _SCALER_STEP for frame in frames())


def frames() -> Iterator[FrameType]:
    """The Python frames above, the nearest first."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FARTHEST):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _codes(*names: str) -> frozenset[CodeType]:
    found: list[Any] = [inspect.unwrap(getattr(clip_grad, name)) for name in names if hasattr(clip_grad, name)]
    return frozenset(function.__code__ for function in found)


_NORM = _codes("clip_grad_norm_", "clip_grads_with_norm_", "_clip_grads_with_norm_")
_VALUE = _codes("clip_grad_value_")
_SCALER_STEP = torch.amp.GradScaler.step.__code__
