"""A remedy against the user's own training: does a short training with it get further than the whole one did?"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nn_inspector.checks.answers import Answers, Kind, answers
from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, Start, TrainingCopy, initial_state, isolated, train
from nn_inspector.history import Severity, Trial

Change = Callable[[TrainingCopy], None]
DataChange = Callable[[Any], Any]

STEPS = 240
"""Steps of a short training at most, and no more than the user's own took, but for `FEWEST`: a sound small network has
learned most of its task by then."""

FEWEST = 80

BADLY = 0.3
"""A training that has more than this still to learn did badly."""

FAILED = 0.6
"""One that has more than this still to learn failed."""

WELL: Mapping[Kind, float] = {"classes": 0.12, "yes or no": 0.12, "numbers": BADLY}
"""One that has no more than this still to learn did well: nothing that it does is called a fault here.

Of numbers a sound training may leave a tenth or two of the variance for the steps to come.
"""

BETTER = {True: 1 / 2, False: 1 / 3}
"""A remedy clearly helps if it leaves less than this share of what is left without it, for a training that did badly and for
one that did not."""

WORTH = 0.05
"""With less than this to learn of the validation data, nothing is tried for them."""

LEARNED = 0.5
UNSEEN = 0.85
FAR_WORSE = 0.5
"""A network that has no more than the first left to learn of its training data fails in validation if it has as much as the second
left there, or so much more than of the training data."""

_TIME = 0.9
"""Share of a check's time after which the training with the remedy ends; the one without has half, if it is not known yet."""

_PARTS = 8
_JUDGED = 256
_LAST = 3
_VALIDATION_BATCHES = 20


@dataclass(frozen=True, slots=True)
class Race:
    """What is still to learn (see `Answers.unlearned`) after a short training without a remedy, and with it.

    Attributes:
        without, treated: at the start and after each part of the steps. `without` is empty where the user's own way to
            train is not known well enough to be repeated.
        now: what the user's own training has left; None if it has not begun.
        steps: how many steps each short training took.
        kind: of the answers.
    """

    without: list[float]
    treated: list[float]
    now: float | None
    steps: int
    kind: Kind

    @property
    def left(self) -> float:
        """What is left without the remedy: the better of the short training and the user's own."""
        known = [*([level(self.without)] if self.without else []), *([] if self.now is None else [self.now])]
        return min(known, default=math.inf)

    @property
    def severity(self) -> Severity:
        """How bad it is to do without the remedy: an error if the training did badly, a warning if it did not do well.

        The remedy has to get clearly further than both the same short training and the user's own whole one; else it is
        a remark only.
        """
        badly = self.left > BADLY
        if self.left <= WELL[self.kind] or not level(self.treated) < BETTER[badly] * min(self.left, 1.0):
            return "info"
        return "error" if badly else "warning"

    @property
    def trial(self) -> Trial | None:
        """Both curves, for a remedy to carry."""
        if not self.without:
            return None
        every = self.steps // (len(self.treated) - 1)
        helped = self.severity != "info"
        return Trial(self.without, self.treated, helped=helped, measure="share still to learn", every=every)

    @property
    def text(self) -> str:
        """The race in one sentence."""
        own = "" if self.now is None else f", and your own training has learned {_percent(self.now)}"
        without = f", without it {_percent(level(self.without))}" if self.without else ""
        learned = _percent(level(self.treated))
        return f"On a copy, {self.steps} steps with the remedy learned {learned} of the task{without}{own}."


def level(left: Sequence[float]) -> float:
    """Where a short training stands at its end: a last look that happens to be a bad one does not count against it.

    Args:
        left: what is left to learn at its start and after each part.

    Returns:
        The last one, or the mean of the last three if that is less; the start is none of these,
        and a training that was lost stays so. Of one that jumps about, the median would show the better half alone.

    Example:
        >>> level([1.0, 0.8, 0.25, 0.25, 1.0]), level([1.0, 0.5, 0.4, 0.3])
        (0.5, 0.3)
    """
    if len(left) <= _LAST or not math.isfinite(left[-1]):
        return left[-1]
    return min(left[-1], statistics.fmean(left[-_LAST:]))


@dataclass(frozen=True, slots=True)
class Own:
    """The user's own way to train, where a copy has to be told something of it.

    Attributes:
        change: tells it, see `race`.
        repeated: whether the copy is then trained as the loop trains; else it only says what the network answers, and the
            remedy is compared with the user's training alone.
    """

    change: Change | None = None
    repeated: bool = True


def race(
    subject: Subject,
    change: Change | None = None,
    data: DataChange | None = None,
    *,
    without: Change | None = None,
    most: int = STEPS,
    own: Own = Own(),
) -> Race | None:
    """Train a copy with a remedy from the first weights and compare it with one without and with the user's own.

    Args:
        subject: training and run.
        change: makes the remedy on a copy. It may register hooks on it.
        data: makes the remedy on a batch, of those to train on and those to judge by.
        without: brings the fault about on the copy that does without the remedy, where it stands in the loop and not in
            the loss that copies train with.
        most: steps of each short training at most, and no more than the user's own took.
        own: for a copy without the remedy.

    Returns:
        None if there is nothing to gain, for the user's training did well or the same short training does without the
        remedy; and where experiments are not allowed or not possible, or it is not known what the network is asked.
    """
    if subject.seconds <= 0 or not subject.training.optimizers:
        return None
    begin = time.monotonic()
    half, end = begin + subject.seconds / 2, begin + _TIME * subject.seconds
    try:
        kind, now = left_now(subject, own)
        parts = max(_PARTS, min(subject.run.steps, most) // _part(subject))
        plain: list[float] = []
        faulty: list[float] = []
        if own.repeated and not _well(kind, now):
            key = ("short training", own, parts)
            plain = subject.once(key, lambda: _short(subject, own.change, None, parts, until=half))
            faulty = plain if without is None else _short(subject, without, None, parts, until=half)
        if _well(kind, now, *([level(faulty)] if faulty else [])) or (now is None and not faulty):
            return None
        treated = plain if change is None and data is None else _short(subject, change, data, parts, until=end)
    except ExperimentError:
        return None
    looks = min(len(faulty) or len(treated), len(treated))
    if looks <= parts // 2:
        return None
    return Race(faulty[:looks], treated[:looks], now, (looks - 1) * _part(subject), kind)


def left_now(subject: Subject, own: Own = Own()) -> tuple[Kind, float | None]:
    """What is asked, and what the user's training has still to learn of it; None if it has not begun.

    Raises:
        ExperimentError: it is not known what the network is asked, or no experiment is possible.
    """

    def look() -> tuple[Kind, float | None]:
        if subject.seconds <= 0:
            raise ExperimentError("This needs an experiment, and there is no time left for one.")
        judges = _data(subject)[1]
        with isolated(subject.training, start=Start()) as copied:
            if own.change is not None:
                own.change(copied)
            kind, left = left_of(copied, judges)
        return kind, left if subject.run.steps else None

    found: tuple[Kind, float | None] = subject.once(("left to learn", own), look)
    return found


def left_of(copied: TrainingCopy, judges: Sequence[Any]) -> tuple[Kind, float]:
    """What is asked of a copy, and what it has left to learn of some batches, see `Answers.unlearned`.

    Raises:
        ExperimentError: it is not known what the network should answer.
    """
    found = [one for one in (answers(copied, batch) for batch in judges) if one is not None]
    left = Answers.together(found).unlearned if found else None
    if left is None:
        raise ExperimentError("It is not known what the network should answer, so how far it has come cannot be told.")
    return found[0].kind, left


def known_left(subject: Subject) -> float | None:
    """What the user's training has still to learn, or None where that is not known: no proof, where a race was not possible."""
    try:
        return left_now(subject)[1]
    except ExperimentError:
        return None


def answers_well(subject: Subject) -> bool:
    """Whether the user's network gives right answers by now, be its loss as it is: a loss of numbers tells that by itself."""
    try:
        kind, left = left_now(subject)
    except ExperimentError:
        return False
    return kind != "numbers" and _well(kind, left)


def left_of_validation(subject: Subject) -> float | None:
    """What the network, as it is now, has left to learn of the validation data; None where that is not known."""

    def look() -> float | None:
        try:
            batches = BatchSource(subject.training.val_loader, seconds=5.0).as_loaded(_VALIDATION_BATCHES)
            with isolated(subject.training, start=Start()) as copied:
                return left_of(copied, batches)[1]
        except ExperimentError:
            return None

    found: float | None = subject.once("left to learn of the validation", look) if subject.seconds > 0 else None
    return found


def failed_validation(subject: Subject) -> float | None:
    """What a network that learned its training data has left to learn of the validation data; None if it does not fail there."""
    seen, unseen = known_left(subject), left_of_validation(subject)
    if seen is None or seen > LEARNED or unseen is None or (unseen < UNSEEN and unseen - seen < FAR_WORSE):
        return None
    return unseen


def unseen_race(subject: Subject, change: Change) -> Race | None:
    """A race against a training that does worse on the validation data than on its own, judged by the validation data.

    Returns:
        None unless the copy with the remedy has far less of them left to learn.
    """
    seen, unseen = known_left(subject), left_of_validation(subject)
    if seen is None or unseen is None or not subject.run.steps or unseen < max(WORTH, seen / BETTER[False]):
        return None
    try:
        judges = BatchSource(subject.training.val_loader, seconds=5.0).as_loaded(_VALIDATION_BATCHES)
        found = _judged_by(subject, change, judges, left_now(subject)[0], unseen)
    except ExperimentError:
        return None
    return found if found is not None and found.treated[-1] < BETTER[found.left > BADLY] * found.left else None


def race_in_line(subject: Subject, change: Change) -> Race | None:
    """A race judged by batches of the loop's own size, asked one after the other, as the loop asks them.

    Of a network that keeps something from batch to batch. `race` judges by one batch of another size, for which such a network may
    begin anew.
    """
    if subject.seconds <= 0 or not subject.training.optimizers:
        return None
    try:
        judges = BatchSource(subject.training.train_loader, seed=1, seconds=subject.seconds / 6).mixed(_PARTS)
        with isolated(subject.training, start=Start()) as copied:
            kind, now = left_of(copied, judges)
        if not subject.run.steps or _well(kind, now):
            return None
        return _judged_by(subject, change, judges, kind, now)
    except ExperimentError:
        return None


def _judged_by(subject: Subject, change: Change, judges: Sequence[Any], kind: Kind, now: float) -> Race | None:
    """Both short trainings, judged by some batches; None where the time did not last."""
    until = time.monotonic() + _TIME * subject.seconds
    plain = _short(subject, None, None, _PARTS, until=until / 2 + time.monotonic() / 2, judges=judges)
    treated = _short(subject, change, None, _PARTS, until=until, judges=judges)
    looks = min(len(plain), len(treated))
    if looks <= _PARTS // 2:
        return None
    return Race(plain[:looks], treated[:looks], now, (looks - 1) * _part(subject), kind)


def _short(
    subject: Subject,
    change: Change | None,
    data: DataChange | None,
    parts: int,
    *,
    until: float,
    judges: Sequence[Any] | None = None,
) -> list[float]:
    """What is left to learn at the start of a short training and after each part of it."""
    batches, apart = _data(subject)
    judges = apart if judges is None else judges
    if data is not None:
        batches, judges = [data(batch) for batch in batches], [data(batch) for batch in judges]
    part = _part(subject)
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        if change is not None:
            change(copied)
        left = [left_of(copied, judges)[1]]
        for number in range(parts):
            chosen = [batches[(number * part + place) % len(batches)] for place in range(part)]
            if not math.isfinite(train(copied, chosen, steps=part, deadline=until)[-1]):
                return left + [math.inf] * (parts + 1 - len(left))
            if time.monotonic() > until:
                break
            left.append(left_of(copied, judges)[1])
    return left


def _part(subject: Subject) -> int:
    return min(max(subject.run.steps, FEWEST), STEPS) // _PARTS


def _data(subject: Subject) -> tuple[Sequence[Any], Sequence[Any]]:
    """Batches to train on, and others, drawn apart, to judge by."""

    def draw() -> tuple[Sequence[Any], Sequence[Any]]:
        loader, seconds = subject.training.data, max(subject.seconds / 6, 0.1)
        batches = BatchSource(loader, seconds=seconds).mixed(STEPS)
        apart = BatchSource(loader, seed=1, seconds=seconds)
        one = apart.mixed(1, size=_JUDGED)
        try:  # a network may be made for its own size of batch
            with isolated(subject.training) as copied:
                copied.predict(one[0]) if subject.training.loss_fn is None else answers(copied, one[0])
        except ExperimentError:
            return batches, apart.mixed(_PARTS)
        return batches, one

    data: tuple[Sequence[Any], Sequence[Any]] = subject.once("data for short trainings", draw)
    return data


def _well(kind: Kind, *left: float | None) -> bool:
    return any(one is not None and one <= WELL[kind] for one in left)


def _percent(left: float) -> str:
    return f"{max(0.0, 1 - left):.0%}"
