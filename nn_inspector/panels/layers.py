"""From parameters to layers: what the panels show by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from nn_inspector.history import Chart, Curve, Run, row_labels
from nn_inspector.inspector import Inspector
from nn_inspector.panels.layer_rows import Row
from nn_inspector.panels.row_names import AND, TO, ends, meet, numbered, parent_of

UNFOLDS = "A row of several layers unfolds when it is clicked."

_COLOURS: Mapping[Literal["least", "greatest"], int] = {"least": 3, "greatest": 4}
"""Also places of their markers: others than those of what they stand beside."""

_NAMED = 4
_LONGEST = 22
"""Letters of what stands beside a row."""


def norms(run: Run, quantity: str) -> tuple[dict[str, float], dict[str, float]]:
    """The norm of each layer from the norms of its parameters: the root of the sum of their squares.

    Args:
        run: what was measured.
        quantity: a norm whose sources are parameters.

    Returns:
        Layer -> norm, in the order of the model: at the first measured step, and at the latest.
    """
    first: dict[str, list[float]] = {}
    latest: dict[str, list[float]] = {}
    for parameter in run.sources(quantity):
        values, layer = run.series(quantity, parameter).values, layer_of(parameter)
        first.setdefault(layer, []).append(float(values[0]))
        latest.setdefault(layer, []).append(float(values[-1]))
    return _together(first), _together(latest)


def _together(parts: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {layer: math.hypot(*norms) for layer, norms in parts.items()}


def norms_in(rows: Iterable[Row], of_layers: Mapping[str, float]) -> list[float]:
    """The norm of each row: the root of the sum of the squares of those of its layers."""
    return [math.hypot(*(of_layers[layer] for layer in row.layers)) for row in rows]


def extremes(
    rows: Sequence[Row], of_layers: Mapping[str, float], word: Literal["least", "greatest"]
) -> dict[str, Curve]:
    """The least or the greatest layer of each row that has several, as a series of marks; none where no row has.

    Args:
        rows: those of the chart.
        of_layers: the value of each layer; what is not finite has no place.
        word: which.
    """
    pick = np.nanmin if word == "least" else np.nanmax
    found = []
    for place, row in enumerate(rows):
        values = [of_layers[layer] for layer in row.layers if np.isfinite(of_layers[layer])]
        found += [(place, float(pick(values)))] if len(row.layers) > 1 and values else []
    if not found:
        return {}
    x, y = np.array(found, dtype=np.float64).T
    return {f"{word} of its layers": Curve(x, y, "marks", _COLOURS[word])}


def layer_of(parameter: str) -> str:
    """The module that a parameter belongs to.

    Example:
        >>> layer_of("encoder.0.attention.weight"), layer_of("bias")
        ('encoder.0.attention', 'model')
    """
    return parameter.rpartition(".")[0] or "model"


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


def with_layers(chart: Chart, run: Run, rows: Iterable[Row], selected: str | None) -> Chart:
    """A chart of rows with a layer each, or several: named, and with the selected ones marked.

    Args:
        chart: the picture.
        run: whose layers.
        rows: of the chart.
        selected: the layer or block that is selected, if one is.
    """
    rows = tuple(rows)
    layers = tuple(row.name for row in rows)
    chosen = rows_of(layers, selected)
    titles = [_cut(title(run, layer)) for layer in layers]
    titles = [f"▸ {text}" if place in chosen else text for place, text in enumerate(titles)]
    remark = ""
    if selected is None:
        remark = UNFOLDS if any(len(row.layers) > 1 for row in rows) else ""
    elif layers and not chosen:
        remark = f"{title(run, selected)} has no row here."
    note = " ".join(part for part in (chart.note, remark) if part)
    return replace(chart, labels=row_labels(titles), layers=layers, chosen=chosen, note=note)


def _cut(text: str) -> str:
    """So that it fits beside the row."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def not_finite(what: str, values: Mapping[str, float]) -> str:
    """Names layers whose values cannot be drawn.

    Example:
        >>> not_finite("Gradient is", {"conv": 1.0, "head": float("nan")})
        'Gradient is NaN or Inf in: head.'
    """
    broken = [layer for layer, value in values.items() if not np.isfinite(value)]
    return f"{what} NaN or Inf in: {', '.join(broken[:_NAMED])}." if broken else ""


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
    return tuple(place for place, layer in enumerate(layers) if meet(layer, selected))


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


def title(run: Run, layer: str, limit: int = 14) -> str:
    """A layer's name with the type of its module, as the panels show it; that of several layers together if it is one type."""
    modules: Mapping[str, str] = run.parameters.get("modules", {})
    first, *others = ends(layer)
    stem = numbered(first)
    if TO in layer and stem is not None:
        others.append(f"{stem[0]}{stem[1] + 1}")
    kinds = {modules.get("" if name == "model" else name) for name in (first, *others)}
    kind = kinds.pop() if len(kinds) == 1 else None
    if AND in layer:
        layer = f"{first} to {others[-1].removeprefix(parent_of(layer))}"
    return f"{short(layer, limit)} {kind}" if kind is not None else short(layer, limit)


def short(name: str, limit: int = 14) -> str:
    """A name cut at its front, which tells layers apart least; between two of its parts where that is possible.

    Example:
        >>> short("encoder.layers.11.attention", 14), short("out_projection_of_all", 14)
        ('…11.attention', '…ection_of_all')
    """
    if len(name) <= limit:
        return name
    parts = name.split(".")
    fitting = (".".join(parts[place:]) for place in range(1, len(parts)))
    return "…" + next((end for end in fitting if len(end) < limit), name[-(limit - 1) :])
