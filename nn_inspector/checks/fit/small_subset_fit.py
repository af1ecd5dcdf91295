"""small_subset_fit: can the network learn fifty items, over several epochs?"""

from __future__ import annotations

import math

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.fit.by_heart import ENOUGH_WEIGHTS, NEARLY, Fit, learn_in_epochs, learned_well
from nn_inspector.checks.relation import relation
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.levels import loss_levels
from nn_inspector.checks.train.no_learning import RELATED
from nn_inspector.checks.train.standing import require_no_turns
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, batch_size, distinct_items, initial_state, preserved_random_state
from nn_inspector.experiments.remix import remix
from nn_inspector.history import Chart, Evidence, Finding, Remedy, curve

INFO = CheckInfo(
    name="small_subset_fit",
    stage="fit",
    kind="active",
    question="Can the network learn fifty items, in several batches?",
    why=(
        "Between one batch, which nearly anything can learn, and all of the data lies a small subset: several batches that pull "
        "in different directions. A network that learns one batch and not fifty items has too few units, a rate that is too high, "
        "or a layer whose answer depends on its batch."
    ),
    how=(
        "A training that itself comes most of the way is not asked. Else a copy with its first weights is trained on 48 items in batches of 16, for up to 40 epochs, without dropout and weight "
        "decay: with your optimizer, then with Adam at rates 0.01 and 0.001. 95 % of the way to the least possible loss is a pass. "
        "Below 70 % it is a warning, if the training itself learned next to nothing and the network has weights enough."
    ),
    remedy="If one batch can be learned and fifty items cannot, lower the rate, make the network wider, look at normalization.",
    sources=(
        "A checklist for networks that do not learn: train on a small subset of the data first",
        "Karpathy, A Recipe for Training Neural Networks (2019): overfit",
    ),
)

ITEMS = 48
EPOCHS = 40

NOTHING = 0.1
"""Only a training that came less than this share of the way itself is warned of."""

_BATCH = 16
_SHARE_OF_TIME = 0.6
_RATES = (1e-2, 1e-3)


def look(subject: Subject, *, items: int = ITEMS, epochs: int = EPOCHS, every: bool = False) -> Finding:
    """Train copies on a few batches.

    Args:
        subject: training and run.
        items: how many; 20 to 100 is usual.
        epochs: at most so many for each optimizer tried.
        every: try it even if the training itself learns well.
    """
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    require_no_turns(subject.run)
    if learned_well(subject) and not every:
        return finding(INFO, "ok", "Yes: the training itself has come most of the way, on all items.")
    training = subject.training
    start = initial_state(training, subject.run)
    subset = distinct_items(BatchSource(training.data).mixed(1, size=4 * items)[0], items)
    with preserved_random_state(0):
        batches = [batch for batch in remix([subset], _BATCH) if batch_size(batch) > 1] or [subset]
    items = batch_size(subset)
    seconds = _SHARE_OF_TIME * subject.seconds / (1 + len(_RATES))
    fits: dict[str, Fit] = {}
    if training.optimizers:
        fits["your optimizer"] = learn_in_epochs(subject, start, batches, epochs, seconds=seconds)
    for rate in _RATES:
        if any(fit.learned for fit in fits.values()):
            break
        fits[f"Adam at {rate:g}"] = learn_in_epochs(subject, start, batches, epochs, seconds=seconds, adam_rate=rate)
    evidence = {name: fit.losses for name, fit in fits.items()}
    return _judged(subject, fits, evidence, items, epochs)


def chart(result: Finding) -> Chart | None:
    """The loss by epochs."""
    series = {name: curve(values) for name, values in result.evidence.items() if isinstance(values, list)}
    return Chart("lines", "epoch on the few items", "loss", series) if series else None


def _judged(subject: Subject, fits: dict[str, Fit], evidence: Evidence, items: int, epochs: int) -> Finding:
    name, best = min(fits.items(), key=lambda pair: (not pair[1].learned, pair[1].left))
    went = f"the loss on {items} items went from {best.start:.3g} to {best.end:.3g} in {best.steps} epochs with {name}"
    if best.learned:
        severity = "ok" if name in (next(iter(fits)), "your optimizer") else "info"
        return finding(INFO, severity, f"Yes: {went}.", evidence=evidence)  # type: ignore[arg-type]  # one of two literals
    short = min(fit.steps for fit in fits.values() if math.isfinite(fit.end)) if math.isfinite(best.end) else epochs
    if short < epochs:
        raise ExperimentError(
            f"The time was enough for {short} of {epochs} epochs only, which says nothing yet. Give it more: "
            'check("small_subset_fit", seconds=120).'
        )
    weights = sum(p.numel() for p in subject.training.model.parameters() if p.requires_grad)
    enough = weights >= ENOUGH_WEIGHTS * best.targets and best.floor_is_known
    if best.left <= NEARLY or not enough or not _learned_nothing(subject):
        share = f", {1 - best.left:.0%} of the way down" if best.left < 1 else ""
        return finding(INFO, "info", f"Not quite: {went}{share}.", evidence=evidence)
    remedy = Remedy(
        "See first whether one batch can be learned. If it can, lower the rate and make the network wider.",
        'inspector.check("one_batch_fit")\ninspector.check("batch_dependency")',
    )
    message = f"No: {went}, and no optimizer that was tried does better."
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, basis="experiment")


def _learned_nothing(subject: Subject) -> bool:
    levels, seen = loss_levels(subject), LossCurve.of(subject.run)
    little = levels is not None and bool(seen.total) and levels.progress(seen.end) < NOTHING
    return little and not relation(subject).holds(RELATED)


CHECK = Check(INFO, look, chart)
