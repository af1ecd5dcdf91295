"""Panel: in which modules and at which steps there was NaN or Inf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.layer_rows import MOST_ROWS, Row
from nn_inspector.panels.layers import layer_of, title, with_layers
from nn_inspector.panels.panel import Panel, Selection

NOTHING = "No NaN or Inf so far."

_MOST_MARKS = 1200
"""In the whole picture. With more, one stands for a stretch of steps, so that no step is lost."""

_BETWEEN = 0.22
"""Distance of the marks in a row, in rows."""


def _as_it_is(name: str) -> str:
    return name


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of number in which NaN or Inf can be.

    Attributes:
        name: as the picture says it.
        quantities: those that show it, each with the module that its source belongs to.
        order: which comes first within a step.
    """

    name: str
    quantities: tuple[tuple[str, Callable[[str], str]], ...]
    order: int


_KINDS = (
    _Kind("output", (("activation_nonfinite", _as_it_is),), 1),
    _Kind("gradient", (("activation_gradient_nonfinite", _as_it_is), ("gradient_norm", layer_of)), 2),
    _Kind("weights", (("weight_norm", layer_of),), 0),
)


def picture(run: Run, selection: Selection) -> Chart:
    """For each module that ever had NaN or Inf, the measured steps at which its output, gradient or weights did."""
    if not run.steps:
        return Chart("rows", "step", "module", {})
    found = {kind: _steps(run, kind) for kind in _KINDS}
    first = {
        layer: min((int(steps[layer][0]), kind.order, kind.name) for kind, steps in found.items() if layer in steps)
        for layer in _in_order(run, {layer for steps in found.values() for layer in steps})
    }
    if not first:
        return Chart("rows", "step", "module", {}, note=NOTHING)
    shown = sorted(first, key=lambda layer: first[layer])[:MOST_ROWS]
    rows = [layer for layer in first if layer in shown]
    most = _MOST_MARKS // (len(rows) * len(_KINDS))
    stretch = _stretch([steps[layer] for steps in found.values() for layer in rows if layer in steps], most)
    curves = {
        kind.name: _curve(found[kind], rows, _BETWEEN * place, stretch)
        for place, kind in zip((-1, 0, 1), _KINDS, strict=True)
    }
    chart = Chart(
        kind="rows",
        x_label="step",
        y_label="module, from input to output",
        series={name: curve for name, curve in curves.items() if len(curve.x)},
        top=float(run.steps),
        note=_note(run, first, len(first) - len(rows), stretch),
    )
    return with_layers(chart, run, [Row(layer, (layer,)) for layer in rows], selection.layer)


def _steps(run: Run, kind: _Kind) -> dict[str, np.ndarray]:
    """Module -> the steps at which it had such a number, ascending."""
    found: dict[str, np.ndarray] = {}
    for quantity, layer in kind.quantities:
        for source in run.sources(quantity):
            series = run.series(quantity, source)
            steps = series.steps[_broken(quantity, series)]
            if len(steps):
                name = layer(source)
                found[name] = np.union1d(found.get(name, steps), steps)
    return found


def _broken(quantity: str, series: Series) -> np.ndarray:
    if quantity.endswith("_nonfinite"):
        share: np.ndarray = series.high > 0
        return share
    whole: np.ndarray = np.isfinite(series.values) & np.isfinite(series.high)
    return ~whole


def _in_order(run: Run, layers: set[str]) -> list[str]:
    known = [name or "model" for name in run.parameters.get("modules", {})]
    return [*(layer for layer in known if layer in layers), *sorted(layers - set(known))]


def _stretch(found: Sequence[np.ndarray], most: int) -> int:
    """For how many steps a mark stands, so that no row has more than `most` marks beside each other: a power of two.

    Example:
        >>> _stretch([np.arange(100), np.array([7, 900])], 30)
        4
    """
    stretch = 1
    while any(len(np.unique(steps // stretch)) > most for steps in found):
        stretch *= 2
    return stretch


def _curve(steps: dict[str, np.ndarray], rows: list[str], beside: float, stretch: int) -> Curve:
    """A mark at the first of these steps in each stretch of so many steps."""
    x, y = [np.zeros(0)], [np.zeros(0)]
    for place, layer in enumerate(rows):
        here = steps.get(layer, np.zeros(0, dtype=np.int64))
        marked = here[np.unique(here // stretch, return_index=True)[1]]
        x.append(np.full(len(marked), place + beside))
        y.append(marked.astype(np.float64))
    return Curve(np.concatenate(x), np.concatenate(y), "marks")


def _note(run: Run, first: dict[str, tuple[int, int, str]], left_out: int, stretch: int) -> str:
    """Where it began: a forward pass goes down the rows, a backward pass up; weights are looked at all at once."""
    step, _, kind = begin = min(first.values())
    layers = [layer for layer in first if first[layer] == begin]
    layer = title(run, layers[-1] if kind == "gradient" else layers[0], limit=40)
    where = f"{len(layers)} modules" if kind == "weights" and len(layers) > 1 else layer
    notes = [f"First seen at step {step:,}: {kind} of {where}."]
    notes.append(f"A mark stands for {stretch:,} steps, if any of them had it." if stretch > 1 else "")
    notes.append(f"{left_out} modules that followed later are not shown." if left_out else "")
    return " ".join(note for note in notes if note)


PANEL = Panel(
    name="nonfinite_map",
    title="NaN and Inf",
    healthy="Healthy: empty. Otherwise the leftmost mark says where to look: what stands right of it only followed.",
    picture=picture,
    checks=("missing_values", "nonfinite"),
)
