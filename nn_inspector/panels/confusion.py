"""Panel: which classes the network takes for which."""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.history import Chart, Run, row_labels
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.probes import MOST_CLASSES

NOTHING = f"No choice among 2 to {MOST_CLASSES} classes was seen."

_BATCHES = 50
"""So many latest measured training batches are taken together where no validation was seen."""


def picture(run: Run, selection: Selection) -> Chart:
    """Of the items of each class, the share that was taken for each class: in the latest validation pass, or in training."""
    labels = ("predicted class", "true class")
    counts, what = class_counts(run)
    if counts is None:
        return Chart("matrix", *labels, {}, matrix=np.zeros((0, 0)), note=NOTHING if run.steps else "")
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return Chart(
        kind="matrix",
        x_label=labels[0],
        y_label=labels[1],
        series={},
        labels=row_labels([str(number) for number in range(len(counts))]),
        classes=tuple(range(len(counts))),
        matrix=share,
        note=f"{what}: {np.trace(counts) / counts.sum():.1%} of {counts.sum():,.0f} items right.{_mistake(counts)}",
    )


def class_counts(run: Run) -> tuple[np.ndarray | None, str]:
    """How many items of each class were taken for each, [classes, classes], and of which data; None where that was not seen."""
    validation = run.series("confusion", "validation")
    if len(validation):
        return _square(validation.values[-1]), f"Validation at step {validation.steps[-1]:,}"
    train = run.series("confusion", "train")
    if len(train):
        latest = slice(-_BATCHES, None)
        counts = (train.values[latest] * train.counts[latest, None]).sum(axis=0)
        return _square(counts), "Latest measured training batches"
    return None, ""


def _square(counts: np.ndarray) -> np.ndarray | None:
    side = math.isqrt(len(counts))
    return counts.reshape(side, side) if counts.sum() > 0 else None


def _mistake(counts: np.ndarray) -> str:
    wrong = counts * (1 - np.eye(len(counts)))
    if not wrong.any():
        return ""
    true, said = np.unravel_index(int(wrong.argmax()), wrong.shape)
    count = wrong[true, said]
    return f" Most frequent mistake: {true} taken for {said}, {'once' if count == 1 else f'{count:,.0f} times'}."


PANEL = Panel(
    name="confusion",
    title="Confusion",
    healthy="Healthy: only the diagonal is bright. A bright column: one class is said whatever comes in.",
    picture=picture,
    checks=("constant_predictions", "human_baseline", "label_alignment", "simpler_baseline", "split_shift"),
)
"""Which classes the network takes for which."""
