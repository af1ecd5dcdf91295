"""Which classes there are over time: among the predictions, or among the labels of the batches."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from nn_inspector.history import Chart, Heat, Run, Series, row_labels
from nn_inspector.panels.over_time import columns, held, no_cells
from nn_inspector.probes import MOST_CLASSES

NOTHING = f"No choice among 2 to {MOST_CLASSES} classes was seen."


def class_shares(run: Run, series: Series, what: Literal["label", "prediction"], note: str) -> Chart:
    """The share of each class among labels or predictions, a row for each class.

    Args:
        run: to which the counts belong.
        series: counts of pairs of class and prediction, [classes * classes] at each point.
        what: of the pairs is shown.
        note: what is said below.
    """
    if not len(series):
        return no_cells("class", NOTHING if run.steps else "")
    classes = math.isqrt(series.values.shape[1])
    pairs = held(series, columns(run, [series])).reshape(-1, classes, classes)
    counts = pairs.sum(axis=2 if what == "label" else 1)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    return Chart(
        kind="rows",
        x_label="step",
        y_label="class",
        series={},
        labels=row_labels([f"class {number}" for number in range(classes)]),
        classes=tuple(range(classes)),
        heat=Heat(shares.T, float(max(run.steps, 1)), 0.0, min(1.0, 3.0 / classes), f"share of the {what}s"),
        top=float(max(run.steps, 1)),
        note=note,
    )
