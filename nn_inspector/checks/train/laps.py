"""Short trainings from one start on the same batches, one for each setting that is tried: shared by all checks that try one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.levels import Judgement, LossLevels, judge, judged_loss, loss_levels
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import (
    BatchSource,
    Start,
    TrainingCopy,
    batch_size,
    initial_state,
    isolated,
    preserved_random_state,
    train,
)
from nn_inspector.experiments.remix import remix
from nn_inspector.history import Trial

Change = Callable[[TrainingCopy], None]

FEWEST = 20
"""A lap of fewer steps, because time ran out, proves nothing."""

LEAST, MOST = 60, 120
"""A lap has as many steps as the run, within these limits. A setting in which a network learns shows it in so many."""

_APART = 0.2
_JUDGED = 128


@dataclass(frozen=True, slots=True)
class Lap:
    """One short training.

    Attributes:
        losses: on items that it is not trained on, before the first step and after each.
        complete: whether it came to its end: it made all steps, or was not finite any more.
        right: share of those items whose class is predicted at the end, where classes are.
    """

    losses: list[float]
    complete: bool
    right: float | None = None

    @property
    def end(self) -> float:
        """The loss at its end: median of the last five; Inf if it is not finite any more."""
        if not math.isfinite(self.losses[-1]):
            return math.inf
        tail = sorted(self.losses[-5:])
        return tail[len(tail) // 2]

    @property
    def start(self) -> float:
        """The loss before the first step."""
        return self.losses[0]

    @property
    def steps(self) -> int:
        """How many steps it made."""
        return len(self.losses) - 1


@dataclass
class Laps:
    """The laps that were made of one training, from its first weights.

    Attributes:
        subject: the training.
        start: first weights, largest learning rates.
        batches: what all laps are trained on, in turn.
        judge: a batch of other items (of the same ones where there is only one batch).
        steps: length of a lap.
        levels: what its losses can be compared with, if that is known.
    """

    subject: Subject
    start: Start
    batches: Sequence[Any]
    judge: Any
    steps: int
    levels: LossLevels | None
    _laps: dict[str, Lap] = field(default_factory=dict)
    _now: Judgement | None = None

    @property
    def own(self) -> Lap:
        """The lap of the training as it is."""
        return self._laps["own"]

    def lap(
        self, name: str, change: Change | None = None, *, steps: int | None = None, seconds: float = math.inf
    ) -> Lap:
        """The lap with a setting: made at the first call with this name, then remembered.

        Args:
            name: of the setting; "own" is the training as it is.
            change: changes the copy before it is trained.
            steps: how many; as many as in the others if None.
            seconds: how long it may take.

        Raises:
            ExperimentError: it cannot be made.
        """
        if name not in self._laps:
            steps = steps or self.steps
            with isolated(self.subject.training, start=self.start) as copied:
                if change is not None:
                    change(copied)
                losses = train(
                    copied,
                    self.batches,
                    steps=steps,
                    judge=self.judge,
                    measure=judged_loss,
                    deadline=time.monotonic() + seconds,
                )
                right = judge(copied, self.judge).right
            complete = len(losses) > steps or not math.isfinite(losses[-1])
            self._laps[name] = Lap(losses, complete, right)
        return self._laps[name]

    def now(self) -> Judgement:
        """How the training's present weights do on the same items: made once. A loss that is not finite counts as Inf."""
        if self._now is None:
            with isolated(self.subject.training) as copied:
                seen = judge(copied, self.judge)
            self._now = replace(seen, loss=seen.loss if math.isfinite(seen.loss) else math.inf)
        return self._now

    def progress(self, loss: float) -> float:
        """How far a loss has come: 0 is what chance gives, 1 the least possible.

        Where these are not known, 0 is the loss at the first weights, and 1 no loss at all or, for a loss that goes below 0,
        the lowest of all laps.
        """
        if self.levels is not None:
            return self.levels.progress(loss)
        start = self.own.start
        lowest = min((min(lap.losses) for lap in self._laps.values()), default=0.0)
        floor = 0.0 if start >= 0 and not lowest < 0 else lowest
        return (start - loss) / (start - floor) if start > floor and math.isfinite(loss) else -math.inf


def laps_of(subject: Subject) -> Laps:
    """The laps of this training, its own among them: the same for all checks of a diagnosis.

    Raises:
        ExperimentError: no experiment is allowed or possible, or a lap takes too long.
    """
    laps: Laps = subject.once(("laps",), lambda: _prepare(subject))
    return laps


def trial(own: Lap, other: Lap, *, helped: bool = True) -> Trial:
    """Two laps as a trial: the training as it is, and with the remedy."""
    length = min((len(lap.losses) for lap in (own, other) if math.isfinite(lap.end)), default=1)
    return Trial(own.losses[:length], other.losses[:length], helped=helped)


def _prepare(subject: Subject) -> Laps:
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    if not subject.training.optimizers:
        raise ExperimentError("No optimizer is known to try other settings with. Pass optimizer=... to watch().")
    start = initial_state(subject.training, subject.run)
    steps = min(max(subject.run.steps, LEAST), MOST)
    size = batch_size(subject.batches()[0])
    more = math.ceil(_JUDGED / size)
    drawn = BatchSource(subject.training.data, seconds=subject.seconds / 4).mixed(steps + more)
    batches, apart = _set_apart(drawn, more)
    with preserved_random_state(0):
        merged = next(remix(apart, sum(batch_size(batch) for batch in apart)))
    laps = Laps(subject, start, batches, merged, steps, loss_levels(subject))
    own = laps.lap("own", seconds=subject.seconds / 4)
    if not own.complete:
        if own.steps < FEWEST:
            raise ExperimentError(f"There was time for {own.steps} steps of an experiment only, which says nothing.")
        laps.steps = own.steps
        laps._laps["own"] = replace(own, complete=True)
    return laps


def _set_apart(drawn: list[Any], most: int) -> tuple[list[Any], list[Any]]:
    """Batches to train on and those to judge by: a fifth, but no more than `most`."""
    if len(drawn) == 1:
        return drawn, drawn
    judges = max(1, min(round(_APART * len(drawn)), most))
    return drawn[:-judges], drawn[-judges:]
