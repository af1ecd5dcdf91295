"""How often gradients are clipped and what is left of them, as far as it can be seen from their norms before and after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nn_inspector.history import Run, Series

AT_THE_LIMIT = 0.99
"""Share of the limit from which a norm counts as clipped: torch divides by a little more than the norm."""


@dataclass(frozen=True, slots=True)
class Clipping:
    """Gradients are clipped by their norm.

    Attributes:
        limit: what it is clipped to.
        share: of the measured steps at which it was at the limit.
    """

    limit: float
    share: float


def clipping(run: Run, total: Series) -> Clipping | None:
    """What is known of the clipping; None where there is none, or where it is not that of all parameters together.

    Args:
        run: whose first steps are looked at for the limit.
        total: norm of the gradients of all parameters, as the step uses them.
    """
    limits = {entry.facts.get("limit") for entry in run.trace if entry.call == "clip" and entry.facts["kind"] == "norm"}
    limit = next(iter(limits), None)
    if len(limits) != 1 or not isinstance(limit, float) or not limit > 0 or not len(total):
        return None
    at_limit = total.values >= AT_THE_LIMIT * limit
    return Clipping(limit, float(np.average(at_limit, weights=total.counts)))


def left_of_gradients(run: Run) -> Series:
    """The share of the gradient's norm that is left between backward() and the step, at each measured step.

    Empty where that is not known: of several optimizers, and with a gradient scaler, which makes gradients smaller as well.
    """
    sources = run.sources("gradient_left")
    if len(sources) != 1 or any(entry.call == "unscale" for entry in run.trace):
        return Series.join([])
    series = run.series("gradient_left", sources[0])
    values = np.minimum(series.values, 1.0)  # above 1 there is nothing but rounding
    return replace(series, values=values, low=np.minimum(series.low, 1.0), high=np.minimum(series.high, 1.0))


def is_clipped(run: Run, left: Series) -> bool:
    """Whether the first steps were seen to clip by the norm, or so much is missing of any gradient as if they did."""
    seen = {str(entry.facts["kind"]) for entry in run.trace if entry.call == "clip"}
    return "norm" in seen or bool((left.low < AT_THE_LIMIT).any())


def before_clipping(total: Series, left: Series) -> Series:
    """The norm of the gradient of all parameters before it was clipped.

    Args:
        total: the norm as the step uses it.
        left: what is left of it.
    """
    steps, here, there = np.intersect1d(total.steps, left.steps, assume_unique=True, return_indices=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Series.exact(steps, total.values[here] / left.values[there])
