"""training_length: did it stop while it was still getting far better?"""

from __future__ import annotations

import math
import time

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.never_seen import NeverSeen
from nn_inspector.checks.race import answers_well
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.early_stop import left_while_improving
from nn_inspector.checks.train.laps import FEWEST, Lap, Laps, laps_of
from nn_inspector.checks.train.levels import judge, judged_loss, loss_levels
from nn_inspector.checks.train.passes import SHORT, passes_cut_short
from nn_inspector.checks.train.standing import (
    MOST_OF_IT,
    Standing,
    lap_is_proof,
    require_plain,
    standing_at_its_length,
)
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import isolated, train
from nn_inspector.history import Chart, Finding, Remedy, Trial, curve

INFO = CheckInfo(
    name="training_length",
    stage="train",
    kind="active",
    question="Did the training stop while it was still getting far better?",
    why=(
        "A network needs a number of steps, not of epochs: with few items or large batches, ten epochs can be thirty steps. A "
        "training that is stopped on its way looks like one that does not learn."
    ),
    how=(
        "If the loss has come most of the way from chance to the least possible one, it is long enough. Else a copy is trained on "
        "from where you stopped, for up to four times as many steps. It is a warning if that brings it far further, on items "
        "that the copy is not trained on: it had come a fifth of the way at most, or is to predict numbers, made few steps, and left "
        "four times as much to learn. If it made few steps because each pass was left after some batches, any clear gain is enough."
    ),
    remedy="Train for more epochs, with smaller batches (more steps an epoch), or with a higher rate.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): leave it training",
        "Hoffer et al., Train longer, generalize better (2017): steps count, not epochs",
    ),
    explains=("no_learning", "slow_learning", "constant_predictions", "update_ratio", "simpler_baseline"),
)

FINE = 0.7
"""From this share of the way from chance to the least possible loss on, nothing is tried."""

FINE_AT_ONCE = 0.85
"""The same for a training of so few steps that it has hardly begun:"""

VERY_SHORT = 100

ON_ITS_WAY = 0.2
"""A training that came further than this when it was stopped needs no telling that more steps would help, unless"""

A_FRACTION = 1 / 4
"""it made no more steps than `SHORT`, and so little of what it left to learn is left after the longer training."""

_MORE = 0.2
"""More steps are worth a remark if they take the loss so much further on the way."""

LONGER = 4
"""The copy takes so many times as many steps as the training has taken."""

_WHOLE_PASSES = """\
for epoch in range(epochs):
    for x, y in train_loader:  # to its end
        ..."""

_WAIT = """\
if val_loss < best:  # not >
    best, waited = val_loss, 0
else:
    waited += 1"""

_LEAST, _MOST = 150, 1500
_SHARE_OF_TIME = 0.7
_GAIN = 0.05


def look(subject: Subject) -> Finding:
    """Train a copy on."""
    seen, levels = LossCurve.of(subject.run), loss_levels(subject)
    fine = FINE_AT_ONCE if subject.run.steps <= VERY_SHORT else FINE
    if subject.run.steps and levels is not None and seen.total and levels.progress(seen.end) >= fine:
        share = levels.progress(seen.end)
        message = f"No: {share:.0%} of the way from chance to the least possible loss is done."
        return finding(INFO, "ok", message, evidence={"progress": share})
    subject.require_steps()
    if answers_well(subject):
        return finding(INFO, "ok", "No: most answers are right by now.")
    laps = laps_of(subject)
    require_plain(subject, laps)
    if laps.levels is None:
        raise ExperimentError("It is not known how low this loss should go.")
    place, now = standing_at_its_length(subject, laps), laps.now()
    if not math.isfinite(now.loss):
        raise ExperimentError("The loss is NaN or infinite now: there is nothing to go on with.")
    lap = _onwards(subject, laps)
    reached = laps.progress(lap.end)
    evidence: dict[str, float | list[float]] = {
        "loss": lap.losses,
        "progress_now": place.run,
        "progress_later": reached,
    }
    far = reached >= MOST_OF_IT and place.run <= ON_ITS_WAY and place.missed(reached, lap.right)
    left = passes_cut_short(subject)
    cut = left is not None and reached >= place.run + _MORE
    stopped = (far or _cut_short(subject, place, reached)) and place.own <= place.run + _NOISE
    if not (lap_is_proof(lap) and (stopped or cut)):
        if reached >= place.run + _MORE:
            message = (
                f"It was well on its way when it stopped: {lap.steps} more steps take the loss from {lap.start:.3g} to "
                f"{lap.end:.3g}."
            )
            return finding(INFO, "info", message, evidence=evidence, where="loop", basis="experiment")
        message = f"It does not look so: {lap.steps} more steps take the loss from {lap.start:.3g} to {lap.end:.3g}."
        return finding(INFO, "ok", message, evidence=evidence)
    message = (
        f"Yes: it stopped after {subject.run.steps} steps with a loss of {lap.start:.3g}. A copy that was trained on for "
        f"{lap.steps} more steps, with nothing else changed, came to {lap.end:.3g}."
    )
    why, remedy = _why(subject, lap, left)
    return finding(INFO, "warning", message + why, evidence=evidence, remedy=remedy, where="loop", basis="experiment")


def _why(subject: Subject, lap: Lap, left: NeverSeen | None) -> tuple[str, Remedy]:
    """Why it was so short, as far as that is known, and what to do."""
    more = Trial([lap.start] * len(lap.losses), lap.losses, helped=True)
    if left is not None:
        taken = "its first batch" if left.taken == 1 else f"its first {left.taken} batches"
        why = f" Each pass over the train_loader was left after {taken}, of {left.batches}."
        action = "Let each pass go to its end: take out the break, or next(iter(...))."
        return why, Remedy(action, _WHOLE_PASSES, more)
    early = left_while_improving(subject)
    if early is not None:
        why = f" Your loop can be left by `if {early}`, and each validation had a lower loss than the one before."
        action = (
            "See to it that early stopping waits as long as the validation loss falls: a lower loss is the better one."
        )
        return why, Remedy(action, _WAIT, more)
    times = 1 + math.ceil(lap.steps / subject.run.steps)
    action = f"Train about {times} times as long, or try a higher learning rate."
    return "", Remedy(action, f"epochs = {times} * epochs", more)


def _cut_short(subject: Subject, place: Standing, reached: float) -> bool:
    """Whether a training of few steps, of numbers, had still most to learn of what a longer one learns easily.

    Of classes a loss that could fall further says little: the answers may be right by then.
    """
    return place.right is None and subject.run.steps <= SHORT and 1 - reached <= A_FRACTION * (1 - place.run)


def chart(result: Finding) -> Chart | None:
    """The loss of the copy after the end."""
    losses = result.evidence.get("loss")
    return (
        Chart("lines", "step after the end", "loss", {"trained on": curve(losses)})
        if isinstance(losses, list)
        else None
    )


_NOISE = 0.1
"""If a copy from the first weights comes further than the run by more than this, something else than its length holds the run back."""


def _onwards(subject: Subject, laps: Laps) -> Lap:
    """A lap from the present weights and optimizer states; it ends early if the first steps gain nothing."""
    most = min(max(LONGER * subject.run.steps, _LEAST), _MOST)
    deadline = time.monotonic() + _SHARE_OF_TIME * subject.seconds
    losses: list[float] = []
    with isolated(subject.training) as copied:
        while len(losses) <= most and time.monotonic() < deadline:
            more = train(copied, laps.batches, steps=_LEAST, judge=laps.judge, measure=judged_loss, deadline=deadline)
            losses += more if not losses else more[1:]
            if not laps.progress(losses[-1]) > laps.progress(losses[0]) + _GAIN:
                break
        right = judge(copied, laps.judge).right
    if math.isfinite(losses[-1]) and len(losses) <= FEWEST:
        raise ExperimentError(f"There was time for {len(losses) - 1} more steps only, which says nothing.")
    return Lap(losses, complete=True, right=right)


CHECK = Check(INFO, look, chart)
