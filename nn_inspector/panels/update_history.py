"""Panel: how much the steps change the layers, over time."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.panels.layers import title
from nn_inspector.panels.over_time import columns, rows_over_time, selected_over_time
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.panels.update_ratio import USUAL


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the update over norm of the weights: the least and the greatest of all layers, their median, the selected."""
    sources = run.sources("update_norm")
    series: dict[str, Curve] = {}
    if sources:
        steps = columns(run, [run.series("update_norm", sources[0])])
        updates, weights = (rows_over_time(run, name, steps) for name in ("update_norm", "weight_norm"))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.stack([updates[layer] / weights[layer] for layer in updates])
        ratios[~np.isfinite(ratios)] = np.nan
        x, known = steps.astype(np.float64), np.isfinite(ratios).any(axis=0)
        x, ratios = x[known], ratios[:, known]
        series = {
            "least": Curve(x, np.nanmin(ratios, axis=0), "faint"),
            "greatest": Curve(x, np.nanmax(ratios, axis=0), "faint"),
            "median of the layers": Curve(x, np.nanmedian(ratios, axis=0)),
        }
        own, weight = (selected_over_time(run, name, steps, selection.layer) for name in ("update_norm", "weight_norm"))
        if selection.layer is not None and own is not None and weight is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = own / weight
            ratio[~np.isfinite(ratio)] = np.nan
            series[title(run, selection.layer, limit=30)] = Curve(x, ratio[known], colour=1)
    return Chart("lines", "step", "update / weight", series, band=(*USUAL, "usual"), log=True)


PANEL = Panel(
    name="update_history",
    title="Update ratio over time",
    healthy="Healthy: level at about 0.001, or falling with the learning rate; the layers close together.",
    picture=picture,
    checks=("optimizer_step", "update_ratio"),
)
