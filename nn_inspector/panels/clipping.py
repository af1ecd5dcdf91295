"""Panel: how much clipping leaves of the gradient, and how often it takes something away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.clip_share import AT_THE_LIMIT, before_clipping, clipping, is_clipped, left_of_gradients
from nn_inspector.panels.gradient_norm import total_norm
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection

NOTHING = "Gradients are not clipped."
UNKNOWN = "What is left of the gradients is not known: there are several optimizers, or a gradient scaler."


_TOP = 1.03
"""A curve at 1 is seen below the edge."""


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the gradient's norm that clipping leaves, and share of the measured steps in which it leaves less than all."""
    left = left_of_gradients(run)
    series: dict[str, Curve] = {}
    if len(left) and is_clipped(run, left):
        series = {
            "left, each measured step": decimate(left, "faint"),
            "left, smoothed": smoothed(left),
            "steps clipped, smoothed": smoothed(_clipped(left)),
        }
    return Chart("lines", "step", "share of the gradient, of the steps", series, top=_TOP, note=_note(run, left))


def _clipped(left: Series) -> Series:
    """1 at the steps that were clipped, else 0; of several taken together, the share is not known and counts by the mean."""
    clipped = np.where(np.isfinite(left.values), left.values < AT_THE_LIMIT, np.nan).astype(np.float64)
    return replace(left, values=clipped, low=clipped, high=clipped)


def _note(run: Run, left: Series) -> str:
    if not len(left):
        return UNKNOWN if run.sources("gradient_left") else ""
    if not is_clipped(run, left):
        return NOTHING
    total = total_norm(run)
    clip = clipping(run, total)
    limit = f" to {clip.limit:.3g}" if clip is not None else ""
    share = float(np.average(left.values < AT_THE_LIMIT, weights=left.counts))
    if not share:
        return f"Clipped{limit} in none of the measured steps."
    norms = before_clipping(total, left[left.values < AT_THE_LIMIT]).values
    norms = norms[np.isfinite(norms)]
    before = f"; the norm there was {np.median(norms):.3g} before (median)" if len(norms) else ""
    return f"Clipped{limit} in {share:.0%} of the measured steps{before}."


PANEL = Panel(
    name="clipping",
    title="Clipping",
    healthy="Healthy: only steps with unusually large gradients are clipped. If nearly all are, the limit sets the step.",
    picture=picture,
    checks=("exploding_gradients", "step_order"),
    related=("learning_rate", "update_ratio"),
)
