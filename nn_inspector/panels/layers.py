"""From parameters to layers: what the panels show by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Run, row_labels
from nn_inspector.inspector import Inspector

MOST_ROWS = 24
"""With more layers than this, those of one block are taken together."""


_NAMED = 4
_LONGEST = 22
"""Letters of what stands beside a row."""


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
    depth = block_depth(run.sources(quantity))
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


def block_depth(parameters: Sequence[str]) -> int | None:
    """The greatest depth at which there are few enough blocks; None if the layers themselves are few enough."""
    deepest = max((parameter.count(".") for parameter in parameters), default=0)
    for depth in range(deepest, 0, -1):
        if len({layer_of(parameter, depth) for parameter in parameters}) <= MOST_ROWS:
            return None if depth == deepest else depth
    return 1


def model_layers(inspector: Inspector) -> list[str]:
    """The layers that panels show: modules whose outputs are measured or that hold parameters, in the model's order."""
    model = inspector.training.model
    shown = {*inspector.layers, *(layer_of(name) for name, _ in model.named_parameters())}
    return [name or "model" for name, _ in model.named_modules() if (name or "model") in shown]


def run_layers(run: Run) -> list[str]:
    """The same of a run whose model is not there: modules of which something was measured, or that hold parameters."""
    measured = [quantity for quantity in run.quantities() if quantity.startswith("activation_")]
    shown = {
        *(source for quantity in measured for source in run.sources(quantity)),
        *run.parameters.get("own_parameters", ()),
    }
    names = [(name, name or "model") for name in run.parameters.get("modules", {})]
    return [layer for name, layer in names if name in shown or layer in shown]


def with_layers(chart: Chart, run: Run, layers: Iterable[str], selected: str | None) -> Chart:
    """A chart of rows with a layer each: named, and with the selected one marked.

    Args:
        chart: the rows.
        run: whose layers.
        layers: of each row.
        selected: the layer or block that is selected, if one is.
    """
    layers = tuple(layers)
    chosen = rows_of(layers, selected)
    titles = [_cut(title(run, layer)) for layer in layers]
    titles = [f"▸ {text}" if place in chosen else text for place, text in enumerate(titles)]
    absent = f"{title(run, selected)} has no row here." if selected is not None and layers and not chosen else ""
    note = " ".join(part for part in (chart.note, absent) if part)
    return replace(chart, labels=row_labels(titles), layers=layers, chosen=chosen, note=note)


def _cut(text: str) -> str:
    """So that it fits beside the row."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def not_finite(what: str, values: Mapping[str, float]) -> str:
    """Names layers whose values cannot be drawn.

    Example:
        >>> not_finite("Gradient is", {"conv": 1.0, "head": float("nan")})
        'Gradient is NaN, Inf or above 1e19 in: head.'
    """
    broken = [layer for layer, value in values.items() if not np.isfinite(value)]
    return f"{what} NaN, Inf or above 1e19 in: {', '.join(broken[:_NAMED])}." if broken else ""


def rows_of(layers: Sequence[str], selected: str | None) -> tuple[int, ...]:
    """Where a layer is among these: itself, or else the layers of a selected block, or the block of a selected layer.

    Example:
        >>> rows_of(["encoder.0", "encoder.1", "head"], "encoder"), rows_of(["encoder", "head"], "encoder.1.norm")
        ((0, 1), (0,))
        >>> rows_of(["encoder", "head"], "head"), rows_of(["encoder", "head"], "decoder")
        ((1,), ())
    """
    if selected is None:
        return ()
    if selected in layers:
        return (layers.index(selected),)
    return tuple(
        place
        for place, layer in enumerate(layers)
        if layer.startswith(f"{selected}.") or selected.startswith(f"{layer}.")
    )


def one_of(layers: Sequence[str], selected: str | None) -> str | None:
    """The selected layer, or the last one of a selected block; the last of all if none is selected; None if there is none.

    Example:
        >>> one_of(["conv", "head"], None), one_of(["conv", "head"], "conv"), one_of(["conv", "head"], "other")
        ('head', 'conv', None)
    """
    if selected is None:
        return layers[-1] if layers else None
    places = rows_of(layers, selected)
    return layers[places[-1]] if places else None


def parameter_of(parameters: Sequence[str], selected: str | None) -> str | None:
    """The first parameter of the selected layer, or of the last layer; None if there is none.

    Example:
        >>> names = ["conv.weight", "conv.bias", "head.weight", "head.bias"]
        >>> parameter_of(names, None), parameter_of(names, "conv"), parameter_of(names, "relu")
        ('head.weight', 'conv.weight', None)
    """
    layer = one_of(list(dict.fromkeys(layer_of(name) for name in parameters)), selected)
    return next((name for name in parameters if layer_of(name) == layer), None)


def few(layers: list[str]) -> list[str]:
    """All layers, or as many as there is room for, evenly chosen."""
    if len(layers) <= MOST_ROWS:
        return layers
    return [layers[round(place * (len(layers) - 1) / (MOST_ROWS - 1))] for place in range(MOST_ROWS)]


def title(run: Run, layer: str, limit: int = 14) -> str:
    """A layer's name with the type of its module, as the panels show it."""
    kind = run.parameters.get("modules", {}).get("" if layer == "model" else layer)
    return f"{short(layer, limit)} {kind}" if kind is not None else short(layer, limit)


def short(name: str, limit: int = 14) -> str:
    """A name cut at its front, which tells layers apart least.

    Example:
        >>> short("encoder.layers.11.attention", 14)
        '….11.attention'
    """
    return name if len(name) <= limit else "…" + name[-(limit - 1) :]
