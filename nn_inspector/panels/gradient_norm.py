"""Panel: how large the gradient is over time: all of it, and of the first and the last layer."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.clip_share import before_clipping, clipping, is_clipped, left_of_gradients
from nn_inspector.panels.layers import layer_of, title
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.over_time import columns, selected_over_time
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Norm of the gradient of all parameters together, before clipping too, and of the first, the last and the selected layer."""
    total = total_norm(run)
    series: dict[str, Curve] = {}
    if len(total):
        series = {"each measured step": decimate(total, "faint"), "all, smoothed": smoothed(total)}
        series |= _before_clipping(run, total)
        series |= _of_layers(run, total, selection.layer)
    broken = int((~np.isfinite(total.values)).sum())
    clip = clipping(run, total)
    return Chart(
        kind="lines",
        x_label="step",
        y_label="gradient norm",
        series=series,
        levels={"clipped to": clip.limit} if clip is not None and clip.share else {},
        log=True,
        note=f"{broken} norms are NaN or Inf." if broken else "",
    )


def _before_clipping(run: Run, total: Series) -> dict[str, Curve]:
    left = left_of_gradients(run)
    return (
        {"all, before clipping": smoothed(before_clipping(total, left))} if len(left) and is_clipped(run, left) else {}
    )


def _of_layers(run: Run, total: Series, selected: str | None) -> dict[str, Curve]:
    steps = columns(run, [total])
    layers = list(dict.fromkeys(map(layer_of, run.sources("gradient_norm"))))
    wanted: dict[str, str | None] = {"first layer": layers[0]} if layers else {}
    wanted |= {"last layer": layers[-1]} if len(layers) > 1 else {}
    wanted |= {title(run, selected, limit=30): selected} if selected is not None else {}
    norms = {name: selected_over_time(run, "gradient_norm", steps, layer) for name, layer in wanted.items()}
    x = steps.astype(np.float64)
    return {name: Curve(x, norm) for name, norm in norms.items() if norm is not None}


def total_norm(run: Run) -> Series:
    """The root of the sum of the squares of all gradient norms, at the steps where all were measured."""
    parts = [run.series("gradient_norm", name) for name in run.sources("gradient_norm")]
    if not parts:
        return Series.join([])
    steps = parts[0].steps
    for part in parts[1:]:
        steps = np.intersect1d(steps, part.steps, assume_unique=True)
    squares = np.zeros(len(steps))
    with np.errstate(over="ignore"):
        for part in parts:
            squares += part.values[np.searchsorted(part.steps, steps)] ** 2
    return Series.exact(steps, np.sqrt(squares))


PANEL = Panel(
    name="gradient_norm",
    title="Gradient norm",
    healthy="Healthy: level or slowly falling, first and last layer close together. A jump of ten is worth a clip.",
    picture=picture,
    checks=("exploding_gradients", "loss_reduction", "zeroed_gradients"),
    comparable=True,
)
