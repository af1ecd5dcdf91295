"""Panel: the distribution of one layer's output."""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.history import Chart, Run, curve
from nn_inspector.panels.layers import rows_of
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.stats import BINS, EXPONENTS

OCTAVES = 14
"""Powers of two shown on either side of zero; what is smaller counts as about zero."""

_MIDDLE = BINS // 2


def picture(run: Run, selection: Selection) -> Chart:
    """Share of the outputs by sign and power of two, at the latest measured step and at the first."""
    layer = _shown(run.sources("activation_histogram"), selection.layer)
    now = run.last_vector("activation_histogram", layer) if layer is not None else None
    if layer is None or now is None:
        unknown = f"The outputs of {selection.layer} were not measured." if selection.layer and run.steps else ""
        return Chart("bars", "output", "share of outputs", {}, note=unknown)
    first = run.series("activation_histogram", layer).values[0]
    top = _top(now + first)
    return Chart(
        kind="bars",
        x_label=f"output of {layer}",
        y_label="share of outputs",
        series={"now": curve(_share(fold(now, top))), "first step": curve(_share(fold(first, top)), "faint")},
        labels=ticks(top),
        note=_note(run, layer),
    )


def _shown(measured: list[str], selected: str | None) -> str | None:
    """The selected layer, or the last one of a selected block; the last of all if none is selected."""
    if selected is None:
        return measured[-1] if measured else None
    places = rows_of(measured, selected)
    return measured[places[-1]] if places else None


def fold(counts: np.ndarray, top: int) -> np.ndarray:
    """The bins shown: `OCTAVES` of each sign up to bin `top` from the middle, and one for all that is smaller.

    Args:
        counts: [BINS], see `nn_inspector.stats.magnitudes`.
        top: the outermost bin shown, counted from the middle.
    """
    inner = top - OCTAVES
    negative = counts[_MIDDLE - top : _MIDDLE - inner]
    positive = counts[_MIDDLE + inner + 1 : _MIDDLE + top + 1]
    middle = counts[_MIDDLE - inner : _MIDDLE + inner + 1].sum()
    return np.concatenate([negative, [middle], positive])


def ticks(top: int) -> tuple[tuple[float, str], ...]:
    """Where zero and powers of ten lie among the bars of `fold`.

    Example:
        >>> [text for _, text in ticks(42)]  # up to 2^2
        ['-1', '-0.01', '0', '0.01', '1']
    """
    lowest = EXPONENTS.start + top - OCTAVES  # exponent of the innermost bin on either side
    places = [(float(OCTAVES), "0")]
    for power in range(math.floor((lowest + OCTAVES) / math.log2(10)), -30, -2):
        offset = power * math.log2(10) - lowest + 0.5
        if offset < 3:
            break
        text = f"{10.0**power:g}"
        places += [(OCTAVES + offset, text), (OCTAVES - offset, f"-{text}")]
    return tuple(sorted(places))


def _top(counts: np.ndarray) -> int:
    used = np.flatnonzero(counts)
    return max(int(np.abs(used - _MIDDLE).max()) if len(used) else 0, OCTAVES)


def _share(counts: np.ndarray) -> np.ndarray:
    total = counts.sum()
    share: np.ndarray = counts / total if total else counts
    return share


def _note(run: Run, layer: str) -> str:
    zeros, spread = run.last("activation_zeros", layer), run.last("activation_spread", layer)
    saturated, nonfinite = run.last("activation_saturated", layer), run.last("activation_nonfinite", layer)
    parts = [f"{zeros:.0%} zeros" if zeros is not None else "", f"spread {spread:.3g}" if spread is not None else ""]
    parts.append(f"{saturated:.0%} saturated" if saturated is not None else "")
    parts.append(f"{nonfinite:.1%} NaN or Inf" if nonfinite else "")
    return ", ".join(part for part in parts if part)


PANEL = Panel(
    name="activation_histogram",
    title="Activations",
    healthy="Healthy: a broad hump that stays where it began; not all at zero, not all at the ends.",
    picture=picture,
    checks=("activation_scale", "hidden_activation", "saturation"),
)
