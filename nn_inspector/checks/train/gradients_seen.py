"""The size of the whole gradient over time, put together from its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn_inspector.history import Run


@dataclass(frozen=True, slots=True)
class GradientNorms:
    """Norms of the whole gradient that a step used.

    Attributes:
        steps: int64 [points], the measured steps.
        norms: float64 [points].
    """

    steps: np.ndarray
    norms: np.ndarray

    def between(self, first: int, last: int) -> np.ndarray:
        """The finite ones of the steps from `first` to `last`, both included."""
        inside = (self.steps >= first) & (self.steps <= last) & np.isfinite(self.norms)
        found: np.ndarray = self.norms[inside]
        return found


def gradient_norms(run: Run) -> GradientNorms:
    """Of the measured steps; of a long run, the largest in each of its buckets."""
    squares: dict[int, float] = {}
    for source in run.sources("gradient_norm"):
        series = run.series("gradient_norm", source)
        for step, value in zip(series.steps.tolist(), series.high.tolist(), strict=True):
            squares[step] = squares.get(step, 0.0) + value * value
    steps = np.array(sorted(squares), dtype=np.int64)
    return GradientNorms(steps, np.sqrt([squares[step] for step in steps.tolist()]))


def clip_value(norms: np.ndarray) -> float | None:
    """Where to clip: what nine of ten of these norms stay below, in two digits; None if there are none.

    Example:
        >>> clip_value(np.array([0.5, 0.7, 0.9, 1.234, 40.0])), clip_value(np.array([]))
        (24.0, None)
    """
    return float(f"{np.percentile(norms, 90):.2g}") if len(norms) else None
