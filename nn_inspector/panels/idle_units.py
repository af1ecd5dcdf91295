"""Panel: units that fire for no item, and units that are always at their ends."""

from __future__ import annotations

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layer_rows import Row, rows_for
from nn_inspector.panels.layers import with_layers
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the units of each activation that are dead or saturated, over the latest window of steps."""
    kinds = {"dead": "dead_units", "saturated": "saturated_units"}
    layers = list(dict.fromkeys(layer for quantity in kinds.values() for layer in run.sources(quantity)))
    rows = rows_for(layers, selection.layer)
    shares = {
        name: [_most(run, quantity, row) for row in rows] for name, quantity in kinds.items() if run.sources(quantity)
    }
    chart = Chart(
        kind="rows",
        x_label="share of the units, in %",
        y_label="activation, from input to output",
        series={name: curve(values, "points") for name, values in shares.items()},
        top=100.0,
        note="Of several layers, the largest share." if len(rows) < len(layers) else "",
    )
    return with_layers(chart, run, rows, selection.layer)


def _most(run: Run, quantity: str, row: Row) -> float:
    """The largest share of a row's layers, in %; NaN if none was measured."""
    shares = [run.last(quantity, layer) for layer in row.layers]
    return max((100 * share for share in shares if share is not None), default=float("nan"))


PANEL = Panel(
    name="idle_units",
    title="Dead and saturated units",
    healthy="Healthy: near 0 %. A unit that fires for no item, or is always at its end, learns nothing.",
    picture=picture,
    checks=("dead_units", "saturation"),
)
