"""How far a training came, and whether its loss can say so."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.laps import Lap, Laps
from nn_inspector.errors import ExperimentError
from nn_inspector.history import Run

POOR = 0.4
"""Up to this share of what another setting reaches, a training has missed most of it."""

MUCH = 0.3
"""A setting must come so much further, as a share of the whole way, to be called far better."""

REST = 0.1
"""A setting that leaves no more than this share of what a training leaves unlearned has learned it, and the training has not."""

LOST = -10.0
"""A training that ends ten times further above chance than the least possible loss lies below it has ruined what there was."""

NOTHING = 0.1
"""Below this share of the way, a training has learned next to nothing."""

MOST_OF_IT = 0.5
"""From this share of the way on, another setting has shown that the training can learn."""


AS_GOOD = 0.1
"""A training that decides about classes as well as another but for this share of the items has missed little by its loss."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a training stands, as shares of the way from chance (0) to the least possible loss (1).

    Attributes:
        run: at the end of the run, or now if that is better; -inf if it is lost or far worse than chance.
        own: of a copy after one lap.
        right: share of items whose class is predicted, by the better of both, where classes are.
    """

    run: float
    own: float
    right: float | None = None

    @property
    def best(self) -> float:
        """The better of run and copy."""
        return max(self.run, self.own)

    def missed(self, other: float, right: float | None = None) -> bool:
        """Whether another setting, in no more steps, came so much further that this one is at fault.

        Args:
            other: how far it came.
            right: share of the items whose class it predicts.

        Example:
            >>> place = Standing(0.02, 0.05)
            >>> place.missed(0.6), place.missed(0.2), Standing(0.5, 0.6).missed(0.8), Standing(0.5, 0.6).missed(0.99)
            (True, False, False, True)
        """
        if self.best <= LOST and other > 0:
            return True
        if self.right is not None and right is not None and self.right >= right - AS_GOOD:
            return False
        far_behind = self.best <= POOR * other or 1 - other <= REST * (1 - self.best)
        return other >= MUCH and self.best <= other - MUCH and far_behind

    def outdone(self, right: float | None) -> bool:
        """Whether another setting, in no more steps, leaves a tenth of the wrong answers of this one, and ten in a hundred fewer.

        Example:
            >>> place = Standing(0.7, 0.6, right=0.8)
            >>> place.outdone(0.99), place.outdone(0.95), Standing(0.9, 0.9, right=0.95).outdone(1.0)
            (True, False, False)
        """
        if self.right is None or right is None:
            return False
        return right - self.right >= AS_GOOD and 1 - right <= REST * (1 - self.right)

    def wholly_missed(self, other: float) -> bool:
        """Whether this one learned next to nothing, and the other setting most of it, or this one ruined what there was."""
        return self.best <= NOTHING and (other >= MOST_OF_IT or (self.best <= LOST and other > 0))


def standing(subject: Subject, laps: Laps) -> Standing:
    """Where the training stands at its end.

    The run counts with the better of two: the loss of its last steps, and that of its present weights in evaluation mode.
    """
    own, right = laps.progress(laps.own.end), laps.own.right
    if subject.run.steps == 0:
        return Standing(own, own, right)
    curve, now = LossCurve.of(subject.run), laps.now()
    seen = laps.progress(curve.end) if curve.total and laps.levels is not None else -math.inf
    shares = [share for share in (right, now.right) if share is not None]
    return Standing(max(seen, laps.progress(now.loss)), own, max(shares, default=None))


def standing_at_its_length(subject: Subject, laps: Laps) -> Standing:
    """The same, but of a lap that is longer than the run only as many steps as the run has made."""
    place, own = standing(subject, laps), laps.own
    if not 0 < subject.run.steps < own.steps:
        return place
    so_far = Lap(own.losses[: subject.run.steps + 1], complete=True)
    return Standing(place.run, laps.progress(so_far.end), laps.now().right)


def require_plain(subject: Subject, laps: Laps) -> None:
    """Raise unless the loss of this training falls as it learns, as far as can be told.

    Raises:
        ExperimentError: there are several optimizers, or several losses take turns, as in a game between networks.
    """
    if len(subject.training.optimizers) > 1:
        raise ExperimentError("There are several optimizers, and their losses may work against each other.")
    require_no_turns(subject.run)
    if laps.levels is None and not single_pass(subject.run):
        raise ExperimentError("It is not known how low this loss should go.")


def require_no_turns(run: Run) -> None:
    """Raise where several losses take turns.

    Raises:
        ExperimentError: they do, see `takes_turns`.
    """
    if takes_turns(run):
        raise ExperimentError("Several losses take turns in one step, and may work against each other.")


def takes_turns(run: Run) -> bool:
    """Whether in a usual step backward() is called more often than the model: other networks learn beside it."""
    counts = _calls(run)
    return bool(counts) and sum(count["backward"] > max(1, count["forward"]) for count in counts) > len(counts) / 2


def single_pass(run: Run) -> bool:
    """Whether in a usual step the model is called once, or nothing is known of it."""
    counts = _calls(run)
    return not counts or sum(count["forward"] <= 1 for count in counts) > len(counts) / 2


def lap_is_proof(lap: Lap) -> bool:
    """Whether a lap came to its end and is still a number."""
    return lap.complete and math.isfinite(lap.end)


def _calls(run: Run) -> list[Counter[str]]:
    """How often each kind of call was made in the training phase of each traced step."""
    steps: dict[int, Counter[str]] = {}
    for entry in list(run.trace):
        if entry.facts.get("phase", "train") == "train":
            steps.setdefault(entry.step, Counter())[entry.call] += 1
    return [count for count in steps.values() if count["step"]]
