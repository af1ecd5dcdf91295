"""Recognizes the factor by which a gradient scaler multiplies a loss."""

from __future__ import annotations

import torch

from nn_inspector.probes.clipping import frames

_SCALE = torch.amp.GradScaler.scale.__code__


def is_scaling(name: str) -> bool:
    """Whether the function `name` that is called just now is the product by which a gradient scaler scales a loss."""
    return name in ("mul", "rmul") and any(frame.f_code is _SCALE for frame in frames())
