"""Where the ticks of an axis stand and what they say: round numbers, few enough not to touch. bqplot's own are neither."""

from __future__ import annotations

import math
from collections.abc import Iterable

import bqplot
import numpy as np
from matplotlib.ticker import MaxNLocator

_STEPS = MaxNLocator(6, steps=[1, 2, 5, 10], integer=True)
MOST_DECADES = 8
"""A logarithmic axis with more has ticks at some of them only."""

_STEP_LETTERS = 40
"""So many have room below the steps in a narrow page."""

_MOST_ZEROS = 4
"""Powers of ten with more are written as 1e5."""

_BEYOND = 0.02
"""Axes reach a little beyond their values, by this share of them."""

Ticks = list[tuple[float, str]]
"""Positions with their texts."""


def step_ticks(last: float) -> np.ndarray:
    """Round numbers of steps from 0 to the last one."""
    last = max(last, 1.0)
    ticks = [float(tick) for tick in _STEPS.tick_values(0.0, last) if tick <= last]
    return np.array(
        [tick for tick, _ in side_by_side([(tick, f"{tick:,.0f}") for tick in ticks], letters=_STEP_LETTERS)]
    )


def side_by_side(ticks: Ticks, *, letters: int) -> Ticks:
    """As many of some ticks as have room beside each other where so many letters have, but not fewer than two.

    Example:
        >>> [text for _, text in side_by_side([(0.0, "0"), (1e33, "1e+33"), (2e33, "2e+33")], letters=12)]
        ['0', '2e+33']
    """
    every = 1
    while len(ticks[::every]) > 2 and sum(len(text) + 1 for _, text in ticks[::every]) > letters:
        every += 1
    return ticks[::every]


def value_ticks(low: float, high: float, *, most: int) -> Ticks:
    """Round numbers from `low` to `high`, with at most so many spaces between them.

    Example:
        >>> value_ticks(0.0, 0.39, most=2)
        [(0.0, '0'), (0.2, '0.2')]
        >>> value_ticks(0.0, 100.0, most=4)
        [(0.0, '0'), (50.0, '50'), (100.0, '100')]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [(low, f"{low:g}")] if math.isfinite(low) else []
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if span <= most * factor * power)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    whole = range(math.ceil((low - _BEYOND * span) / step), math.floor((high + _BEYOND * span) / step) + 1)
    return [(round(count * step, places), _text(round(count * step, places), places)) for count in whole]


def decade_ticks(low: float, high: float, *, most: int = MOST_DECADES) -> Ticks:
    """Whole powers of ten, given as exponents, with at most so many spaces between them.

    Example:
        >>> decade_ticks(-2.0, 1.0)
        [(-2.0, '0.01'), (-1.0, '0.1'), (0.0, '1'), (1.0, '10')]
    """
    between = max(1, math.ceil((high - low) / most))
    return [(float(power), _power(int(power))) for power in np.arange(low, high + 1, between)]


def set_ticks(axis: bqplot.Axis, ticks: Iterable[tuple[float, str]]) -> None:
    """Set where ticks stand and what they say, if that is news.

    In two messages, texts first: within one, bqplot may draw new positions with the old texts and stay with that. Texts
    of earlier positions stay known, so that no position is ever without one.
    """
    texts = {_key(position): text for position, text in ticks}
    known = axis.tick_labels or {}
    if any(known.get(key) != text for key, text in texts.items()):
        axis.tick_labels = {**known, **texts}
    values = np.array([float(position) for position in texts])
    if not np.array_equal(values, axis.tick_values):
        axis.tick_values = values


def _power(power: int) -> str:
    return f"{10.0**power:g}" if abs(power) <= _MOST_ZEROS else f"1e{power}"


def _text(tick: float, places: int) -> str:
    if not 1e-4 <= abs(tick) < 1e6:
        return f"{tick:g}"
    return f"{tick:,.{places}f}" if tick else "0"


def _key(position: float) -> str:
    """As JavaScript writes the number."""
    return str(int(position)) if position == int(position) else repr(position)
