"""The training loss over time, looked at once for all checks of the training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn_inspector.checks.train.trend import block_medians, mann_kendall
from nn_inspector.history import Run, Series

BLOCKS = 20
"""The smoothed curve has so many points: each stands for a twentieth of the training."""

SURE = 2.6
"""A trend counts from here on, as a standard normal number: by chance once in two hundred curves without a trend."""

_FIRST = 3
_SHARE_AT_END = 0.1
_LEAST_AT_END = 5
_POINTS = 2000


@dataclass(frozen=True, slots=True)
class LossCurve:
    """The losses of a run.

    Attributes:
        steps: int64 [points].
        losses: float64 [points]; a point may be the mean of several steps in a long run.
        counts: int64 [points], how many steps stand behind each.
    """

    steps: np.ndarray
    losses: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, run: Run) -> LossCurve:
        """The training loss of a run."""
        return cls.from_series(run.series("loss", "train"))

    @classmethod
    def from_series(cls, series: Series) -> LossCurve:
        """A curve of any series of numbers."""
        return cls(series.steps, series.values, series.counts)

    @classmethod
    def from_losses(cls, losses: list[float] | np.ndarray) -> LossCurve:
        """A curve of one loss a step.

        Example:
            >>> LossCurve.from_losses([2.0, 1.0, 0.5]).end
            1.0
        """
        values = np.asarray(losses, dtype=np.float64)
        return cls.from_series(Series.exact(np.arange(len(values)), values))

    @property
    def total(self) -> int:
        """How many steps had a loss."""
        return int(self.counts.sum())

    @property
    def start(self) -> float:
        """The loss at the beginning: median of the first three; NaN if there is none."""
        return _median(self.losses[:_FIRST])

    @property
    def end(self) -> float:
        """The loss at the end: median of the last tenth, and of five at least. Infinite if most of them are not finite."""
        last = self._last(_SHARE_AT_END)
        return float(np.median(np.where(np.isfinite(last), last, np.inf))) if len(last) else float("nan")

    @property
    def smooth(self) -> np.ndarray:
        """Medians of twentieths of the training."""
        return block_medians(self._even(), BLOCKS)

    @property
    def best(self) -> float:
        """The lowest point of the smoothed curve."""
        finite = self.smooth[np.isfinite(self.smooth)]
        return float(finite.min()) if len(finite) else float("nan")

    @property
    def lost(self) -> bool:
        """Whether the loss is NaN or Inf at the end."""
        return bool(len(self.losses)) and not np.isfinite(self.end)

    def trend(self, share: float = 0.5) -> float:
        """How sure it is that the loss rises (above 0) or falls (below 0) in the last `share` of the training.

        See `mann_kendall`; it is taken over ten medians, so that one hard batch or a noisy stretch does not decide.
        """
        even = self._even()
        last = even[len(even) - round(share * len(even)) :]
        return mann_kendall(block_medians(last, BLOCKS // 2)) if len(last) else 0.0

    @property
    def falling(self) -> bool:
        """Whether it surely falls in its second half."""
        return self.trend() < -SURE

    @property
    def rising(self) -> bool:
        """Whether it surely rises in its second half."""
        return self.trend() > SURE

    def noise(self, share: float = 0.5) -> float:
        """Half the range that holds the middle half of the losses in the last `share` of the training."""
        last = self._last(share)
        last = last[np.isfinite(last)]
        return float(np.subtract(*np.percentile(last, [75, 25]))) / 2 if len(last) else float("nan")

    def _last(self, share: float) -> np.ndarray:
        even = self._even()
        return even[max(0, len(even) - max(_LEAST_AT_END, round(share * len(even)))) :]

    def _even(self) -> np.ndarray:
        """The losses at even distances: a bucket stands for as many steps as it holds."""
        if self.total == len(self.losses):
            return self.losses
        places = np.linspace(1, self.total, _POINTS)
        even: np.ndarray = self.losses[np.searchsorted(self.counts.cumsum(), places)]
        return even


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")
