"""batch_size: are the batches so small, or so large, that the training does not get on?"""

from __future__ import annotations

from dataclasses import dataclass

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.race import answers_well
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.laps import Lap, Laps, laps_of, trial
from nn_inspector.checks.train.levels import loss_levels
from nn_inspector.checks.train.standing import lap_is_proof, require_plain, standing_at_its_length
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, batch_size
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="batch_size",
    stage="train",
    kind="active",
    question="Does the size of the batches fit the rate and the length of the training?",
    why=(
        "The gradient of one or two items points anywhere; at a high rate such steps undo each other, and batch normalization has "
        "nothing to take a mean of. With all items in one batch, an epoch is a single step, and fifty epochs are only fifty steps."
    ),
    how=(
        "If the loss has come most of the way from chance to the least possible one, the size is fine. Else, with up to four items "
        "in a batch, a copy is trained on batches of 32 for as many steps; with few steps an epoch, on smaller batches for as "
        "many epochs. It is a warning if that comes far further on items it has not seen."
    ),
    remedy="Take 16 to 64 items in a batch. If memory allows fewer only, accumulate gradients or lower the rate.",
    sources=(
        "McCandlish et al., An Empirical Model of Large-Batch Training (2018): gradient noise and batch size",
        "Masters and Luschi, Revisiting Small Batch Training for Deep Neural Networks (2018)",
    ),
    explains=(
        "no_learning",
        "slow_learning",
        "oscillation",
        "steep_then_flat",
        "training_length",
        "constant_predictions",
    ),
)

FINE = 0.6
"""From this share of the way from chance to the least possible loss on, nothing is tried."""

SMALL = 4
USUAL = 32
"""Batches up to the first are tried with the second."""

FEW_STEPS = 4
"""With fewer steps an epoch, the batches are called large."""

_MOST_STEPS = 400


@dataclass(frozen=True, slots=True)
class _Other:
    """Another size to try."""

    size: int
    steps: int
    kind: str


def look(subject: Subject) -> Finding:
    """Try another size where the training does not do well."""
    levels, seen = loss_levels(subject), LossCurve.of(subject.run)
    if levels is not None and seen.total and levels.progress(seen.end) >= FINE:
        message = f"It does: {levels.progress(seen.end):.0%} of the way from chance to the least possible loss is done."
        return finding(INFO, "ok", message, evidence={"progress": levels.progress(seen.end)})
    if answers_well(subject):
        return finding(INFO, "ok", "It does: most answers of your network are right by now.")
    size = batch_size(subject.batches()[0])
    other = _other(subject, size)
    if other is None:
        return finding(INFO, "ok", f"It does: {size} items in a batch are usual.", evidence={"batch_size": float(size)})
    laps = laps_of(subject)
    require_plain(subject, laps)
    lap, place = _lap(subject, laps, other), standing_at_its_length(subject, laps)
    reached = laps.progress(lap.end)
    evidence = {"batch_size": float(size), "end": laps.own.end, "end_with_other": lap.end}
    if not (lap_is_proof(lap) and place.missed(reached, lap.right)):
        message = (
            f"{size} items in a batch are {other.kind}, but {other.size} do not come far further in {lap.steps} steps."
        )
        return finding(INFO, "ok", message, evidence=evidence)
    remedy = Remedy(
        f"Take {other.size} items in a batch.",
        f"train_loader = torch.utils.data.DataLoader(dataset, batch_size={other.size}, shuffle=True)",
        trial(laps.own, lap),
    )
    taken = min(subject.run.steps or laps.own.steps, laps.own.steps)
    message = (
        f"No: {size} items in a batch are too {other.kind.removeprefix('very ')}. From your first weights a copy comes to a loss "
        f"of {laps.own.losses[taken]:.3g} with them in {taken} steps, and to {lap.end:.3g} with {other.size} in {lap.steps}."
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where="train_loader", basis="experiment")


def _other(subject: Subject, size: int) -> _Other | None:
    if size <= SMALL:
        return _Other(USUAL, min(max(subject.run.steps, 60), 120), "few")
    epochs = [epoch for epoch in subject.run.epochs("train") if epoch.complete]
    per_epoch = max((epoch.batches for epoch in epochs), default=0)
    if not 0 < per_epoch < FEW_STEPS or size <= USUAL:
        return None
    return _Other(USUAL, min(subject.run.steps * size // USUAL, _MOST_STEPS), "many")


def _lap(subject: Subject, laps: Laps, other: _Other) -> Lap:
    """A lap on batches of another size."""
    source = BatchSource(subject.training.data, seconds=subject.seconds / 4)
    drawn = source.mixed(other.steps + 1, size=other.size)
    changed = Laps(subject, laps.start, drawn[:-1] or drawn, laps.judge, other.steps, laps.levels)
    lap = changed.lap("other size", seconds=subject.seconds / 2)
    if lap.steps < min(other.steps, 20):
        raise ExperimentError(f"There was time for {lap.steps} steps of an experiment only, which says nothing.")
    return lap


CHECK = Check(INFO, look, trial_chart)
