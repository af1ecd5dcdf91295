"""What left the range of a sound run first, or that of a sound stretch of the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nn_inspector.history.compared import COMPARED, Kind, Quantity, series_of
from nn_inspector.history.run import Run
from nn_inspector.history.series import Series

FACTOR = 3.0
"""A magnitude is outside from so many times the reference's highest value on. Below it is, by the square of this, below the
lowest: gradients become small where a batch leaves little to learn.
"""

SHARE = 0.2
"""A share is outside so far above the reference's highest value or below its lowest; three times as far, it counts at once."""

FAR = 10.0
"""A magnitude that is so many times farther out counts at once; below, by the square of it."""

PATIENCE = 3
"""Of what is nearer, so many measured values in a row must lie outside."""

FLOOR = 1e-3
"""Magnitudes below this share of what the reference stayed above for a while are all alike: almost zero."""

WINDOW = 0.2
LEAST_WINDOW = 20
"""Runs pass the same stage a little earlier or later: a step is compared with those around it, so far to either side."""

LEAST = 5
"""Values of the reference that make a range; where fewer lie around a step, those farther away join them."""


@dataclass(frozen=True, slots=True)
class Change:
    """A quantity that left the reference's range.

    Attributes:
        quantity: what changed.
        source: the layer; a parameter group of a learning rate; "train" of the loss.
        step: the first measured step outside.
        since: the last measured step before, which was still inside; None if there is none.
        value: at `step`.
        low, high: the reference's least and greatest value there.
    """

    quantity: Quantity
    source: str
    step: int
    since: int | None
    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """The change in one sentence, with its evidence.

        Example:
            >>> Change(COMPARED[9], "2", 480, 479, 153.0, 0.02, 0.4).text
            'gradient norm of 2: 153 at step 480, where the reference lies between 0.02 and 0.4'
        """
        between = f"is {self.low:.3g}" if self.low == self.high else f"lies between {self.low:.3g} and {self.high:.3g}"
        return f"{self.quantity.of(self.source)}: {self.value:.3g} at step {self.step:,}, where the reference {between}"


def first_changes(run: Run, reference: Run | range) -> list[Change]:
    """What left the range of a reference, what did so first before the others.

    Args:
        run: the one in question.
        reference: a sound run, whose range at a step is that of the steps around it; or a sound stretch of steps of this run,
            whose range is compared with all that came after it.

    Example:
        >>> from nn_inspector.probes import Measurement
        >>> run = Run("demo", {})
        >>> run.record([Measurement(step, "loss", "train", 0.5 if step < 60 else 9.0) for step in range(80)])
        >>> [(change.quantity.name, change.step) for change in first_changes(run, range(10, 50))]
        [('loss', 60)]
    """
    found = [leaves(*pair) for pair in _pairs(run, reference)]
    return sorted((change for change in found if change is not None), key=lambda change: change.step)


def quantities_compared(run: Run, reference: Run | range) -> list[Quantity]:
    """What a run and a reference can be compared in: what was measured often enough in both."""
    known = [
        quantity for quantity, _, series, limits in _pairs(run, reference) if np.isfinite(limits(series.steps)[0]).any()
    ]
    return list(dict.fromkeys(known))


def _pairs(run: Run, reference: Run | range) -> Iterator[tuple[Quantity, str, Series, Limits]]:
    """All that may be compared, in the order in which a step makes it."""
    for quantity in COMPARED:
        exact = quantity.kind == "setting"
        present = series_of(run, quantity.name)
        past = present if isinstance(reference, range) else series_of(reference, quantity.name)
        sources = [source for source in present if source in past]
        for source in reversed(sources) if quantity.backward else sources:
            if isinstance(reference, range):
                yield quantity, source, present[source], _stretch(past[source], reference, exact=exact)
            else:
                yield quantity, source, present[source], _around(past[source], reference.steps, exact=exact)


Limits = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Steps -> the reference's least and greatest values there; NaN where it says nothing."""


def leaves(quantity: Quantity, source: str, series: Series, limits: Limits) -> Change | None:
    """Where a series leaves the limits, if it does."""
    if not len(series):
        return None
    low, high = limits(series.steps)
    known = np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return None
    distance = np.zeros(len(series))
    distance[known] = _distance(quantity.kind, series.values[known], low[known], high[known])
    place = _first(distance, at_once=quantity.kind == "setting")
    if place is None or (place == 0 and quantity.name == "learning_rate"):  # another rate from the start is a parameter
        return None
    since = int(series.steps[place - 1]) if place else None
    values = (float(part[place]) for part in (series.values, low, high))
    return Change(quantity, source, int(series.steps[place]), since, *values)


def _first(distance: np.ndarray, *, at_once: bool) -> int | None:
    """Where the series begins to lie outside: far or, if near, for some values in a row."""
    outside = distance > 0
    lasting = np.convolve(outside, np.ones(PATIENCE, dtype=int))[PATIENCE - 1 :] == PATIENCE
    places = np.flatnonzero(outside & (lasting | (distance > 1) | at_once))
    return int(places[0]) if len(places) else None


def _distance(kind: Kind, values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far outside: 0 inside, above 1 if far, infinite where a value is not finite."""
    with np.errstate(all="ignore"):
        if kind == "share":
            distance = (np.maximum(values - high, low - values) - SHARE) / (2 * SHARE)
        else:
            factor = 1.001 if kind == "setting" else FACTOR
            floor = max(FLOOR * float(low.max()), np.finfo(float).tiny)
            size, low, high = (np.maximum(part, floor) for part in (np.abs(values), low, high))
            above, below = np.log(size / (factor * high)), np.log(low / size) / 2 - np.log(factor)
            distance = (above if kind == "rising" else np.maximum(above, below)) / np.log(FAR)
    return np.where(np.isfinite(values), np.maximum(distance, 0.0), np.inf)


def _around(past: Series, until: int, *, exact: bool) -> Limits:
    """The range of another run around a step, as far as that run goes."""

    def limits(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(past) < (1 if exact else LEAST):
            return np.full(len(steps), np.nan), np.full(len(steps), np.nan)
        width = np.maximum(LEAST_WINDOW, WINDOW * steps)
        latest = np.maximum(np.searchsorted(past.steps, steps, side="right") - 1, 0)
        near = 0 if exact else LEAST // 2
        first = np.maximum(np.minimum(np.searchsorted(past.steps, steps - width), latest - near), 0)
        end = np.maximum(np.searchsorted(past.steps, steps + width, side="right"), latest + near + 1)
        end = np.minimum(end, len(past))
        low, high = _over(np.fmin, past.low, first, end), _over(np.fmax, past.high, first, end)
        sound = (steps < until) & np.isfinite(past.values[latest])
        return np.where(sound, low, np.nan), np.where(sound, high, np.nan)

    return limits


def _stretch(past: Series, stretch: range, *, exact: bool) -> Limits:
    """The range within a stretch, for all steps after it; a setting holds until it is changed."""
    inside = past[slice(*np.searchsorted(past.steps, [stretch.start, stretch.stop]))]
    if exact:
        start = max(int(np.searchsorted(past.steps, stretch.start, side="right")) - 1, 0)
        inside = past[start : int(np.searchsorted(past.steps, stretch.stop))]
    known = len(inside) >= (1 if exact else LEAST)
    low, high = (np.fmin.reduce(inside.low), np.fmax.reduce(inside.high)) if known else (np.nan, np.nan)

    def limits(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = steps >= stretch.stop
        return np.where(after, low, np.nan), np.where(after, high, np.nan)

    return limits


def _over(reduce: np.ufunc, values: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Reduce values[first:end] for each pair of places."""
    padded = np.append(values, np.nan)
    reduced: np.ndarray = reduce.reduceat(padded, np.stack([first, end], axis=1).ravel())[::2]
    return reduced
