"""Panel: the loss of training and validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nn_inspector.checks.train.traced_levels import steady_chance
from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.moving_average import moving_average
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.panels.sense import Sense

MOST_POINTS = 1000

_EXPLODED = 5.0
"""A loss so many times its first value is cut off in the linear picture."""

_FAR = 2.0
"""Chance is drawn up to so many times the greatest loss."""


def picture(run: Run, selection: Selection) -> Chart:
    """Train loss at every step, smoothed too; validation loss after each pass, the best marked; chance if it is known."""
    train, validation = run.series("loss", "train"), run.series("loss", "validation")
    series = {"train, each step": decimate(train, "faint"), "train, smoothed": smoothed(train, log=selection.log_loss)}
    if len(validation):
        series["validation"] = Curve(validation.steps.astype(np.float64), validation.values, "points")
        series |= _best(validation)
    chance = _chance(run)
    top = None if selection.log_loss else cut_at(train)
    beyond = chance if chance is not None and not selection.log_loss and _is_beyond(chance, train, top) else None
    return Chart(
        kind="lines",
        x_label="step",
        y_label="loss",
        series=series,
        levels={"chance": chance} if chance is not None and beyond is None else {},
        top=top,
        log=selection.log_loss,
        note=_note(train, top, beyond),
    )


def _chance(run: Run) -> float | None:
    """As the traced first steps tell it, else as `initial_loss` has found it, which asks the loss function itself."""
    known = steady_chance(run)
    finding = run.finding("initial_loss")
    asked = finding.evidence.get("chance") if finding is not None else None
    return known if known is not None else asked if isinstance(asked, float) else None


def _is_beyond(chance: float, train: Series, top: float | None) -> bool:
    """Whether chance lies so far above the losses that they would be pressed together to show it."""
    high = train.high[np.isfinite(train.high)]
    return bool(len(high)) and chance > (top if top is not None else _FAR * float(high.max()))


def _best(validation: Series) -> dict[str, Curve]:
    found = best_of(validation, "lower")
    return marks_of([found], f"best validation: {said_of(*found)}") if found is not None else {}


def best_of(series: Series, better: Sense) -> tuple[int, float] | None:
    """Step and value of the best one, once there are two to choose from."""
    finite = np.flatnonzero(np.isfinite(series.values))
    if len(finite) < 2:
        return None
    values = series.values[finite]
    place = finite[int(values.argmin() if better == "lower" else values.argmax())]
    return int(series.steps[place]), float(series.values[place])


def said_of(step: int, value: float) -> str:
    """The best value in words."""
    return f"{value:.4g} at step {step:,}"


def marks_of(best: Sequence[tuple[int, float]], name: str) -> dict[str, Curve]:
    """A mark at each of these, as a series of that name."""
    x, y = np.array(sorted(best), dtype=np.float64).T
    return {name: Curve(x, y, "marks", colour=4)}


def cut_at(train: Series) -> float | None:
    """Where to cut a loss that has exploded, so that the rest of the curve can still be seen; None if it has not."""
    high = train.high[np.isfinite(train.high)]
    if not len(high):
        return None
    limit = _EXPLODED * abs(float(high[0]))
    return limit if high.max() > limit > 0 else None


def _note(train: Series, top: float | None, beyond: float | None) -> str:
    broken = int((~np.isfinite(train.values)).sum())
    notes = [f"{broken} values of the loss are NaN or Inf."] if broken else []
    if top is not None:
        peak = train.high[np.isfinite(train.high)].max()
        notes.append(f"The loss reaches {peak:.3g}; the picture ends at {top:.3g}. Choose “logarithmic” to see it all.")
    if beyond is not None:
        notes.append(f"Chance would give {beyond:.3g}, far above the picture.")
    return " ".join(notes)


def decimate(series: Series, role: str = "main") -> Curve:
    """At most `MOST_POINTS` points that keep every peak: of each stretch its least and its greatest value, between the first and the last."""
    steps, low, high = series.steps.astype(np.float64), series.low, series.high
    if len(steps) <= MOST_POINTS:
        return Curve(steps, series.values, role)  # type: ignore[arg-type]
    stretch = -(-2 * len(steps) // (MOST_POINTS - 4))
    starts = np.arange(0, len(steps), stretch)
    ends = np.minimum(starts + stretch, len(steps)) - 1
    x = np.stack([steps[starts], steps[ends]], axis=1).ravel()
    y = np.stack([np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)], axis=1).ravel()
    x = np.concatenate([steps[:1], x, steps[-1:]])
    y = np.concatenate([series.values[:1], y, series.values[-1:]])
    return Curve(x, y, role)  # type: ignore[arg-type]


def smoothed(series: Series, *, log: bool = False) -> Curve:
    """The moving average of a series over steps; see `moving_average`.

    Args:
        series: numbers over steps.
        log: average the logarithms, so that one value that is out of all proportion is not seen for hundreds of steps.
    """
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = smoothed(replace(series, values=np.log(series.values)))
        return replace(mean, y=np.exp(mean.y))
    averages = moving_average(series.steps, series.values)
    return decimate(replace(series, values=averages, low=averages, high=averages))


PANEL = Panel(
    name="loss",
    title="Loss",
    healthy="Healthy: both curves fall, fast at first, and stay close together.",
    picture=picture,
    checks=(
        "batch_size",
        "divergence",
        "initial_loss",
        "learning_rate",
        "loss_learnable",
        "loss_match",
        "loss_reduction",
        "loss_spike",
        "loss_terms",
        "no_learning",
        "nonfinite",
        "one_batch_fit",
        "oscillation",
        "regularization_share",
        "simpler_baseline",
        "slow_learning",
        "small_subset_fit",
        "split_shift",
        "steep_then_flat",
        "train_eval_mode",
        "training_length",
        "update_direction",
    ),
    comparable=True,
)
