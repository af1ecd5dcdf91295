"""What a chart shows now, in one sentence for those who do not see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np

from nn_inspector.history import Chart, Curve, Heat
from nn_inspector.panels.event_marks import by_step
from nn_inspector.panels.row_marks import by_row

_MOST_CURVES = 3
"""So many are told of; of the others there is a count."""


def said_html(charts: Iterable[tuple[str, Chart]]) -> str:
    """A list that is read out and not seen: of each chart its title and its sentence, in the order of the charts.

    The lab extension gives each picture its sentence as its name. It is sent with what is sent anyway: a message of its own for each
    chart would make as many as the curves.
    """
    said = "".join(f"<li>{escape(f'{title}: {in_words(chart)}')}</li>" for title, chart in charts)
    return f'<ul class="nni-said" aria-label="What the charts show now">{said}</ul>' if said else ""


def in_words(chart: Chart) -> str:
    """One sentence on what a chart shows: where its curves began, where they are, and their ends.

    Example:
        >>> loss = Curve(np.array([0.0, 420.0, 440.0]), np.array([2.3, 0.39, 0.412]))
        >>> in_words(Chart("lines", "step", "loss", {"train": loss}))
        'loss, train: 2.3 at step 0, 0.412 at step 440, lowest 0.39.'
    """
    if chart.empty:
        return chart.note or "nothing to show yet."
    if chart.matrix is not None:
        said = [f"a table of {chart.y_label} by {chart.x_label}"]
    elif chart.heat is not None:
        said = _cells(chart, chart.heat)
    elif chart.kind == "rows":
        said = _rows(chart)
    elif chart.kind == "bars":
        said = [f"{name}: highest at {_label(chart, _highest(curve))}" for name, curve in _known(chart.series).items()]
    else:
        said = _lines(chart)
    said += [f"{name} is {value:.3g}" for name, value in chart.levels.items()]
    marked = [*by_step(chart.events).values(), *by_row(chart).values()]
    said += [f"found at {mark}" for mark in marked]
    if chart.matrix is not None:
        return f"{'; '.join(said)}."
    what = chart.x_label if chart.kind in ("rows", "bars") and chart.heat is None else chart.y_label
    return f"{', '.join(filter(None, (what, '; '.join(said))))}."


def _known(series: Mapping[str, Curve]) -> dict[str, Curve]:
    """The points of each curve that have a place; no curves without any, nor the same in full behind a smoothed one."""
    found = {}
    for name, curve in series.items():
        keep = np.isfinite(curve.y)
        if keep.any():
            found[name] = Curve(np.asarray(curve.x)[keep], np.asarray(curve.y)[keep], curve.role)
    main = {name: curve for name, curve in found.items() if curve.role not in ("faint", "marks")}
    return main or found


def _lines(chart: Chart) -> list[str]:
    known = _known(chart.series)
    said = []
    for name, curve in list(known.items())[:_MOST_CURVES]:
        ends = sorted({0, len(curve.y) - 1})
        told = [f"{curve.y[place]:.3g} at {_place(chart, curve.x[place])}" for place in ends]
        beyond = (("lowest", int(curve.y.argmin())), ("highest", int(curve.y.argmax())))
        told += [f"{word} {curve.y[place]:.3g}" for word, place in beyond if place not in ends]
        said.append(f"{name}: {', '.join(told)}")
    left = len(known) - _MOST_CURVES
    return [*said, f"and {left} more curve{'s' * (left > 1)}"] if left > 0 else said


def _place(chart: Chart, x: float) -> str:
    return f"step {int(x):,}" if chart.over_steps else f"{chart.x_label} {x:.3g}"


def _rows(chart: Chart) -> list[str]:
    names = [text for _, text in chart.labels]
    said = [f"{len(names)} row{'s' * (len(names) != 1)}"]
    for name, curve in list(_known(chart.series).items())[:_MOST_CURVES]:
        said.append(f"{name}: {_ends(chart, curve)}")
    return said


def _ends(chart: Chart, rows: Curve) -> str:
    """The greatest and the least of some rows, or the value of all."""
    high, low = int(rows.y.argmax()), int(rows.y.argmin())
    if rows.y[high] == rows.y[low]:
        return f"{rows.y[high]:.3g}{' in all' * (len(rows.y) > 1)}"
    ends = (("greatest", high), ("least", low))
    return ", ".join(f"{word} {rows.y[place]:.3g} at {_label(chart, rows.x[place])}" for word, place in ends)


def _cells(chart: Chart, heat: Heat) -> list[str]:
    """The rows by their last known column, or by their mean where columns are no steps."""
    values = np.array(heat.values, dtype=np.float64)
    if chart.over_steps:
        when, now = "now", values[:, int(np.flatnonzero(np.isfinite(values).any(axis=0))[-1])]
    else:
        known = [row[np.isfinite(row)] for row in values]
        when, now = "on average", np.array([row.mean() if len(row) else np.nan for row in known])
    rows = np.flatnonzero(np.isfinite(now))
    ends = _ends(chart, Curve(rows.astype(np.float64), now[rows]))
    return [f"{len(values)} row{'s' * (len(values) != 1)}", f"{heat.name}, {when}: {ends}"]


def _highest(curve: Curve) -> float:
    return float(curve.x[int(curve.y.argmax())])


def _label(chart: Chart, position: float) -> str:
    """The text at a position, or the next to it where not each has one."""
    if not chart.labels:
        return f"{position:.3g}"
    at, text = min(chart.labels, key=lambda label: abs(label[0] - position))
    return text if at == position else f"about {text}"
