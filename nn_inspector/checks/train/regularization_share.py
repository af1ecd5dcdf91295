"""regularization_share: does the regularization rule over the data?"""

from __future__ import annotations

import math
import time

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart, try_out
from nn_inspector.checks.race import FAILED, answers_well, known_left, race
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.checks.train.decay_pull import pull_at_start, strongest_decay, usual
from nn_inspector.checks.train.dropout_share import much_dropout
from nn_inspector.checks.train.penalty_pull import penalty_pull
from nn_inspector.checks.train.reward_for_size import RewardForSize, reward_for_size
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Arm, BatchSource, TrainingCopy, compare, initial_state, isolated, set_option, train
from nn_inspector.history import SEVERITIES, Basis, Finding, Remedy, Run, Severity, Trial

INFO = CheckInfo(
    name="regularization_share",
    stage="train",
    kind="passive",
    question="Does the regularization rule over the data?",
    why=(
        "Weight decay and penalty terms pull all weights towards zero. A little helps the network to generalize. If the "
        "pull is stronger than what the data say, the weights shrink to nothing and the network predicts the same for "
        "every input. Dropout that takes away nearly all leaves too little to learn from."
    ),
    how=(
        "At measured steps, and on a copy with its first weights, the pull of weight decay is compared with the gradient "
        "of the loss; a penalty that is added to a loss function is compared with the loss itself, and one within a loss that "
        "is written by hand by its gradient. From a tenth on (a penalty beside a loss function: from as much as the loss), a "
        "copy is trained without it. It is a warning if that helps. It is an error if weight decay pulls ten times as hard as "
        "the gradient or costs most of the progress, and if a copy without the penalty learns most of what yours did not. "
        "A term of the weights alone that is taken away from the loss, and grew, is a warning, and an error if it gained more than there "
        "was to learn. Dropout of 0.7 and more is tried with 0.2: it is an error if your training learned next to nothing and the copy "
        "most of it, and from 0.8 on a warning if the copy gets twice as far. Where the training failed, a penalty that holds the weights where they are now is "
        "tried, too."
    ),
    remedy=(
        "Lower weight_decay by factors of ten until the loss falls; 1e-4 is usual for SGD, 1e-2 for AdamW. Dropout is "
        "usually 0.1 to 0.5."
    ),
    sources=(
        "CS231n, Neural Networks Part 3: regularization against data loss",
        "Braiek and Khomh, TheDeepChecker (2022): regularization gradient at least twice the data gradient",
    ),
    explains=OF_THE_LOOP,
)

SUSPECT = 0.1
RULES = 10.0
"""Pull of weight decay in units of the gradient of the loss: from here it is tried out; from here it rules."""

SUSPECT_PENALTY = 1.0
"""A penalty as large as the loss itself is tried out."""

HOLDS = 0.5
"""A pull of so much of the gradient is tried out where the training failed. One that holds the weights has all of it."""

_TRIAL_STEPS = 80

_SMALLER = "penalty = sum(p.pow(2).sum() for p in model.parameters())\nloss = loss_fn(model(x), y) + 1e-4 * penalty"

_ADDED = "loss = loss_fn(model(x), y) + 1e-4 * penalty  # with a plus: large weights cost"


def look(subject: Subject) -> Finding:
    """Compare pull and gradient, and try without the pull if it is strong."""
    run = subject.run
    subject.require_steps()
    rewarded = reward_for_size(subject)
    if rewarded is not None:
        return _rewarded(rewarded)
    decay = strongest_decay(run)
    penalty = penalty_share(run)
    weights = [_on_weights(subject, decay, penalty)]
    by_hand = _penalty_by_hand(subject) if penalty is None else None
    if by_hand is not None:
        weights = [by_hand] if decay is None else [*weights, by_hand]
    held = _held_where_it_began(subject) if not any(one.raised for one in weights) else None
    weights = [*weights, held] if held is not None else weights
    dropout = much_dropout(INFO, subject)
    found = [*weights, *([dropout] if dropout is not None else [])]
    return min(found, key=lambda one: SEVERITIES.index(one.severity))


def _rewarded(found: RewardForSize) -> Finding:
    return finding(
        INFO,
        "error" if found.rules else "warning",
        f"Yes: your loss has a term of the weights alone with a minus, so that it is the lower the larger they are. The term went from "
        f"{found.start:.3g} to {found.now:.3g}, and the rest of the loss was {found.loss:.3g} at first.",
        evidence={"term_at_start": found.start, "term_now": found.now, "rest_at_start": found.loss},
        remedy=Remedy("Add the penalty, and do not take it away.", _ADDED),
        where="loop",
        basis="structure",
    )


def _on_weights(subject: Subject, decay: np.ndarray | None, penalty: float | None) -> Finding:
    if decay is None and penalty is None:
        return finding(INFO, "ok", "No: there is no weight decay, and no penalty was seen in the loss.")
    evidence: dict[str, float | list[float]] = {}
    share = 0.0
    if decay is not None:
        share = max(usual(decay), pull_at_start(subject))
        evidence = {"decay_to_gradient": decay.tolist()[:200], "share": share}
    if penalty is not None:
        evidence["penalty_to_loss"] = penalty
    if penalty is not None and penalty >= SUSPECT_PENALTY and penalty > share:
        return _penalty(subject, penalty, evidence)
    if share >= SUSPECT:
        return _decay(subject, share, evidence)
    parts = [f"weight decay pulls with {share:.2g} times the gradient of the loss"] if decay is not None else []
    parts += [f"what is added to the loss is {penalty:.2g} times the loss"] if penalty is not None else []
    return finding(INFO, "ok", f"No: {', and '.join(parts)}.", evidence=evidence)


def penalty_share(run: Run) -> float | None:
    """Size of what was added to the loss before backward(), over the loss; None if nothing was.

    At the first step or usually (the median), whichever is larger: a penalty that rules is soon small itself.
    """
    loss, objective = run.series("loss", "train"), run.series("objective", "train")
    at = dict(zip(loss.steps.tolist(), loss.values.tolist(), strict=True))
    shares = [
        abs(total - at[step]) / abs(at[step])
        for step, total in zip(objective.steps.tolist(), objective.values.tolist(), strict=True)
        if at.get(step) and total > at[step]
    ]
    return float(max(shares[0], np.median(shares))) if shares else None


def _penalty(subject: Subject, penalty: float, evidence: dict[str, float | list[float]]) -> Finding:
    """A copy trains without what is added: against one with it where that is known, else against your own loop."""
    found = race(subject, _leave_out) if subject.training.tape is not None else None
    added = f"what is added to the loss is {penalty:.3g} times the loss itself"
    if found is None and answers_well(subject):
        return finding(INFO, "info", _harmless(added), evidence=evidence)
    trial = found.trial if found is not None else _try_without_penalty(subject)
    severity: Severity = "warning" if (trial.helped if trial is not None else penalty > RULES) else "info"
    said = _said(severity, added, trial)
    if found is not None and found.severity == "error":
        severity, said = "error", f"Yes: {added}. {found.text}"
    remedy = Remedy("Give the penalty a smaller factor.", _SMALLER, trial)
    basis: Basis = "experiment" if severity == "error" else "statistics"
    return finding(INFO, severity, said, evidence=evidence, remedy=remedy, basis=basis)


def _penalty_by_hand(subject: Subject) -> Finding | None:
    """A penalty in a loss that calls no loss function: what it is beside the rest is seen by its gradient alone."""
    pull = penalty_pull(subject)
    if pull is None:
        return None
    evidence: dict[str, float | list[float]] = {"penalty_to_gradient": pull}
    said = f"what your loss adds for the weights alone pulls with {pull:.2g} times the gradient of the rest"
    if pull < SUSPECT:
        return finding(INFO, "ok", f"No: {said}.", evidence=evidence)
    found = race(subject, _leave_out)
    if found is None or found.severity == "info":
        return finding(INFO, "info", _harmless(said), evidence=evidence)
    remedy = Remedy(
        "Give the penalty a smaller factor, or take it of the rows that are used in the batch only.",
        _SMALLER,
        found.trial,
    )
    return finding(
        INFO, found.severity, f"Yes: {said}. {found.text}", evidence=evidence, remedy=remedy, basis="experiment"
    )


def _held_where_it_began(subject: Subject) -> Finding | None:
    """A penalty that pulls back to where the weights were: it is nothing at first, and small where they cannot leave."""
    if (known_left(subject) or 0.0) <= FAILED:
        return None
    pull = penalty_pull(subject, now=True)
    found = race(subject, _leave_out) if pull is not None and pull >= HOLDS else None
    if found is None or found.severity == "info":
        return None
    return finding(
        INFO,
        found.severity,
        f"Yes: what your loss adds for the weights alone pulls with {pull:.2g} times the gradient of the rest where they are now, and holds "
        f"them there. {found.text}",
        evidence={"pull_now": pull or 0.0},
        remedy=Remedy("Give the penalty a smaller factor.", _SMALLER, found.trial),
        basis="experiment",
    )


def _leave_out(copied: TrainingCopy) -> None:
    copied.penalty = False


def _decay(subject: Subject, share: float, evidence: dict[str, float | list[float]]) -> Finding:
    trial = _try_without_decay(subject)
    groups = [group for optimizer in subject.run.parameters["optimizers"] for group in optimizer["groups"]]
    value = max(group.get("weight_decay", 0.0) for group in groups)
    pull = f"weight_decay={value:g} pulls at the weights with {share:.2g} times the gradient of the loss"
    severity: Severity
    if trial is None:
        severity = "warning" if share >= RULES else "info"
    elif not trial.helped:
        severity = "info"
    else:
        severity = "error" if share >= RULES or _most_progress_lost(trial) else "warning"
    remedy = Remedy(
        "Lower weight_decay. Try 1e-4 first.",
        'for group in optimizer.param_groups:\n    group["weight_decay"] = 1e-4',
        trial,
    )
    return finding(INFO, severity, _said(severity, pull, trial), evidence=evidence, remedy=remedy, where="optimizer")


def _said(severity: Severity, what: str, trial: Trial | None) -> str:
    if trial is None:
        return f"{'Yes' if severity == 'warning' else 'Perhaps'}: {what}. Going without it could not be tried."
    if severity == "info":
        return _harmless(what)
    return f"Yes: {what}. Without it the loss falls to {trial.treated[-1]:.3g} where it stays at {trial.without[-1]:.3g} now."


def _harmless(what: str) -> str:
    return f"It is strong, but it does no harm that could be seen: {what}."


def _most_progress_lost(trial: Trial) -> bool:
    """Whether weight decay cost more than half of the fall in the loss."""
    start, without, treated = trial.treated[0], trial.without[-1], trial.treated[-1]
    return not math.isfinite(without) or (start - without) < 0.5 * (start - treated)


def _try_without_penalty(subject: Subject) -> Trial | None:
    """The loss of your own steps, beside that of a copy which takes as many steps without the penalty."""
    training, seen = subject.training, subject.run.series("loss", "train").values[:_TRIAL_STEPS]
    if subject.seconds <= 0 or not training.optimizers or len(seen) < 2:
        return None
    try:
        batches, _ = BatchSource(training.data).for_training(len(seen))
        with isolated(training, start=initial_state(training, subject.run)) as copied:
            copied.penalty = False
            deadline = time.monotonic() + subject.seconds
            treated = train(copied, batches, steps=len(seen), deadline=deadline)
    except ExperimentError:
        return None
    return compare(seen.tolist(), treated)


def _try_without_decay(subject: Subject) -> Trial | None:
    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_TRIAL_STEPS)
        return Arm(batches, judge), Arm(batches, judge, change=lambda copied: set_option(copied, "weight_decay", 0.0))

    return try_out(subject, arms, steps=_TRIAL_STEPS)


CHECK = Check(INFO, look, trial_chart)
