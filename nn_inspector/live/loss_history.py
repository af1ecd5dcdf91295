"""The loss of a training from its first step to now, small enough for a message."""

from __future__ import annotations

import math

from nn_inspector.history import Run, Series

POINTS = 100
"""At most so many of each curve; where there are more, neighbours are taken together. The first one is kept as it was."""

Points = list[list[float | None]]


def loss_history(run: Run) -> dict[str, Points]:
    """Pairs of step and loss, of training and of validation; a loss that is not finite is None.

    Example:
        >>> from nn_inspector.probes import Measurement
        >>> run = Run("demo", {})
        >>> run.record([Measurement(0, "loss", "train", 2.3), Measurement(1, "loss", "train", 2.1)])
        >>> loss_history(run)
        {'loss': [[0, 2.3], [1, 2.1]], 'validation_loss': []}
    """
    return {"loss": _points(run.series("loss", "train")), "validation_loss": _points(run.series("loss", "validation"))}


def _points(series: Series) -> Points:
    if len(series) > POINTS:
        series = Series.join([series[:1], series[1:].merged(-(-len(series) // (POINTS - 1)))])
    pairs = zip(series.steps.tolist(), series.values.tolist(), strict=True)
    return [[step, float(f"{value:.5g}") if math.isfinite(value) else None] for step, value in pairs]
