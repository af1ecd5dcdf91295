"""From parameters to layers: what the panels show by layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nn_inspector.history import Run

MOST_ROWS = 24
"""With more layers than this, those of one block are taken together."""


def by_layer(run: Run, quantity: str, pick: Callable[[np.ndarray], float]) -> dict[str, float]:
    """The norm of a layer from the norms of its parameters: the root of the sum of their squares.

    Args:
        run: what was measured.
        quantity: a norm whose sources are parameters.
        pick: chooses one value of each parameter's series, for example the last.

    Returns:
        Layer -> norm, in the order of the model; blocks instead of layers where there are many.
    """
    squares: dict[str, float] = {}
    depth = _depth(run.sources(quantity))
    for parameter in run.sources(quantity):
        values = run.series(quantity, parameter).values
        layer = layer_of(parameter, depth)
        squares[layer] = squares.get(layer, 0.0) + pick(values) ** 2
    return {layer: float(np.sqrt(total)) for layer, total in squares.items()}


def layer_of(parameter: str, depth: int | None = None) -> str:
    """The module that a parameter belongs to, or its block at a depth.

    Example:
        >>> layer_of("encoder.0.attention.weight"), layer_of("encoder.0.attention.weight", 2), layer_of("bias")
        ('encoder.0.attention', 'encoder.0', 'model')
    """
    parts = parameter.split(".")[:-1]
    return ".".join(parts[:depth]) or "model"


def _depth(parameters: list[str]) -> int | None:
    """The greatest depth at which there are few enough blocks; None if the layers themselves are few enough."""
    deepest = max((parameter.count(".") for parameter in parameters), default=0)
    for depth in range(deepest, 0, -1):
        if len({layer_of(parameter, depth) for parameter in parameters}) <= MOST_ROWS:
            return None if depth == deepest else depth
    return 1


def title(run: Run, layer: str) -> str:
    """A layer's name with the type of its module, as the panels show it."""
    kind = run.parameters.get("modules", {}).get("" if layer == "model" else layer)
    return f"{short(layer)} {kind}" if kind is not None else short(layer)


def short(name: str, limit: int = 14) -> str:
    """A name cut at its front, which tells layers apart least.

    Example:
        >>> short("encoder.layers.11.attention", 14)
        '….11.attention'
    """
    return name if len(name) <= limit else "…" + name[-(limit - 1) :]
