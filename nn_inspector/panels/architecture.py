"""Panel: the modules in the order in which they ran, with shapes, parameters and how each stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.panels.layer_health import COLOURS, SIGNS, Health, LayerHealth, Level, worst
from nn_inspector.panels.layer_rows import Row, rows_for
from nn_inspector.panels.layers import title, with_layers
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.panels.row_names import inside

_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Row:
    """A module, or a block of them.

    Attributes:
        row: which.
        shape: of its output for one item.
        parameters: how many it has.
        health: how it stands.
    """

    row: Row
    shape: tuple[int, ...]
    parameters: int
    health: Health


def picture(run: Run, selection: Selection) -> Chart:
    """How many numbers one item becomes in each module, in the order of their first calls, and how each module stands."""
    rows = _rows(run, selection.layer)
    series: dict[str, Curve] = {level: curve for level in SIGNS if len((curve := _marks(rows, level)).x)}
    chart = Chart(
        kind="rows",
        x_label="numbers that one item becomes",
        y_label="module, in the order of the calls",
        series=series,
        log=True,
        remarks=tuple(_remark(row) for row in rows),
        note=_note(run, rows),
    )
    chart = with_layers(chart, run, [row.row for row in rows], selection.layer)
    signs = [SIGNS[row.health.level] for row in rows]
    labels = tuple((place, f"{sign} {text}") for sign, (place, text) in zip(signs, chart.labels, strict=True))
    return replace(chart, labels=labels)


def _rows(run: Run, selected: str | None) -> list[_Row]:
    shapes = _shapes(run)
    own: dict[str, int] = run.parameters.get("own_parameters", {})
    counts = {name or "model": count for name, count in own.items() if count}
    unseen = {name: count for name, count in counts.items() if name not in shapes}
    health = LayerHealth(run)
    return [
        _Row(
            row,
            shapes[row.layers[-1]],
            sum(counts.get(module, 0) for module in row.layers)
            + sum(count for name, count in unseen.items() if inside(name, row.name)),
            worst([health.of(module) for module in row.layers]),
        )
        for row in rows_for(list(shapes), selected)
    ]


def _shapes(run: Run) -> dict[str, tuple[int, ...]]:
    """Module -> the shape of its output for one item, in the order in which they first ran."""
    found: dict[str, tuple[int, ...]] = {}
    for entry in run.trace:
        if entry.call == "module":
            shape = cast("list[int]", entry.facts["output_shape"])
            found.setdefault(str(entry.facts["module"]), tuple(shape[1:]))
    return found


def _marks(rows: list[_Row], level: Level) -> Curve:
    places = [place for place, row in enumerate(rows) if row.health.level == level]
    sizes = [float(math.prod(rows[place].shape)) for place in places]
    return Curve(np.array(places, dtype=np.float64), np.array(sizes), "marks", COLOURS[level])


def _remark(row: _Row) -> str:
    shape = " x ".join(str(size) for size in row.shape) or "1"
    return f"{shape} · {short_number(row.parameters)} par." if row.parameters else shape


def short_number(count: int) -> str:
    """A count in a few letters.

    Example:
        >>> short_number(160), short_number(32_832), short_number(124_000_000)
        ('160', '32.8k', '124M')
    """
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            return f"{count / (10**3 if letter == 'k' else size):.3g}{letter}"
    return f"{count:,}"


def _note(run: Run, rows: list[_Row]) -> str:
    """Why modules are marked, the worst first."""
    reasons: dict[Health, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.health.level != "wrong"):
        if row.health.reason:
            reasons.setdefault(row.health, []).append(title(run, row.row.name, limit=30))
    notes = [f"{SIGNS[why.level]} {_few(layers)}: {why.reason}." for why, layers in list(reasons.items())[:_NAMED]]
    return " ".join(notes)


def _few(layers: list[str]) -> str:
    more = len(layers) - _NAMED
    return ", ".join(layers[:_NAMED]) + (f" and {more} more" if more > 0 else "")


PANEL = Panel(
    name="architecture",
    title="Architecture",
    healthy="Healthy: every module has ✔, or ○ if it has nothing to measure. At the right: shape of an item, parameters.",
    picture=picture,
    checks=("batch_dependency", "capacity", "layer_order", "output_layer", "trainable_parameters"),
)
