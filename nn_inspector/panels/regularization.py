"""Panel: how much the regularization weighs against the data."""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.train.decay_pull import strongest_decay
from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.loss import smoothed
from nn_inspector.panels.panel import Panel, Selection

NOTHING = "There is no weight decay, and no penalty was seen in the loss."


def picture(run: Run, selection: Selection) -> Chart:
    """Pull of weight decay over the gradient of the loss, and what is added to the loss over the loss itself."""
    found = {"pull of weight decay / gradient": _decay(run), "penalty / loss": _penalty(run)}
    series: dict[str, Curve] = {name: smoothed(ratio, log=True) for name, ratio in found.items() if len(ratio)}
    return Chart(
        kind="lines",
        x_label="step",
        y_label="regularization / data",
        series=series,
        levels={"as strong as the data": 1.0} if series else {},
        log=True,
        note="" if series or not run.steps else NOTHING,
    )


def _decay(run: Run) -> Series:
    pull = strongest_decay(run)
    sources = run.sources("gradient_norm")
    if pull is None or not sources:
        return Series.join([])
    steps = run.series("gradient_norm", sources[0]).steps[: len(pull)]
    return _above_zero(steps, pull[: len(steps)])


def _penalty(run: Run) -> Series:
    loss, whole = run.series("loss", "train"), run.series("objective", "train")
    steps = np.intersect1d(loss.steps, whole.steps, assume_unique=True)
    if not len(steps):
        return Series.join([])
    data = loss.values[np.searchsorted(loss.steps, steps)]
    added = whole.values[np.searchsorted(whole.steps, steps)] - data
    with np.errstate(divide="ignore", invalid="ignore"):
        return _above_zero(steps, added / np.abs(data))


def _above_zero(steps: np.ndarray, ratio: np.ndarray) -> Series:
    there = np.isfinite(ratio) & (ratio > 0)
    return Series.exact(steps[there], ratio[there])


PANEL = Panel(
    name="regularization",
    title="Regularization",
    healthy="Healthy: far below 1, where the regularization is as strong as the data.",
    picture=picture,
    checks=("loss_terms", "regularization_share"),
)
