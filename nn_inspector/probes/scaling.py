"""Recognizes a gradient scaler at work, and the factor by which it multiplies a loss."""

from __future__ import annotations

import torch

from nn_inspector.probes.clipping import frames

_SCALE = torch.amp.GradScaler.scale.__code__
_STEP = torch.amp.GradScaler.step.__code__


def is_scaling(name: str) -> bool:
    """Whether the function `name` that is called just now is the product by which a gradient scaler scales a loss."""
    return name in ("mul", "rmul") and any(frame.f_code is _SCALE for frame in frames())


def scale_at_step() -> torch.Tensor | None:
    """The factor of the gradient scaler that has an optimizer step just now; None if there is none."""
    scaler = next((frame.f_locals.get("self") for frame in frames() if frame.f_code is _STEP), None)
    if not isinstance(scaler, torch.amp.GradScaler) or not scaler.is_enabled():
        return None
    return scaler._scale  # what get_scale() reads, which waits for the device
