"""Which modules are activations, and where their outputs stop carrying a gradient."""

from __future__ import annotations

import functools

from torch import nn

SATURATED: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0101, 0.9899),
    nn.Tanh: (-0.99499, 0.99499),
    nn.Hardsigmoid: (1e-6, 1 - 1e-6),
    nn.Hardtanh: (-1 + 1e-6, 1 - 1e-6),
    nn.Softsign: (-0.9, 0.9),
}
"""Outputs beyond these limits lie where the activation's slope is below 0.01."""

UNBOUNDED: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.Threshold, nn.Hardswish, nn.Hardshrink, nn.Softshrink, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU,
)  # fmt: skip
"""Activations that have no upper end; where they give exactly zero, hardly any gradient passes."""


def saturation_limits(module: nn.Module) -> tuple[float, float] | None:
    """Between which outputs an activation has a slope; None if it is not bounded on both sides.

    Example:
        >>> saturation_limits(nn.Hardtanh(-2.0, 2.0))
        (-1.999999, 1.999999)
    """
    if isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
        return module.min_val + 1e-6, module.max_val - 1e-6
    return _limits(_kind(module))


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation whose units are looked at."""
    return _is_activation(_kind(module))


def _kind(module: nn.Module) -> type:
    """As a plain type, which mypy takes for a key of a cache; `type[nn.Module]` it does not."""
    return type(module)


@functools.lru_cache(maxsize=256)
def _limits(kind: type) -> tuple[float, float] | None:
    return next((limits for known, limits in SATURATED.items() if issubclass(kind, known)), None)


@functools.lru_cache(maxsize=256)
def _is_activation(kind: type) -> bool:
    return issubclass(kind, (*UNBOUNDED, *SATURATED))
