"""regularization_share: does the penalty on the weights rule over the data?"""

from __future__ import annotations

import math

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart, try_out
from nn_inspector.checks.train.decay_pull import pull_at_start, strongest_decay, usual
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import Arm, BatchSource, set_option
from nn_inspector.history import Finding, Remedy, Run, Severity, Trial

INFO = CheckInfo(
    name="regularization_share",
    stage="train",
    kind="passive",
    question="Does the penalty on the weights rule over the data?",
    why=(
        "Weight decay and penalty terms pull all weights towards zero. A little helps the network to generalize. If the "
        "pull is stronger than what the data say, the weights shrink to nothing and the network predicts the same for "
        "every input."
    ),
    how=(
        "At measured steps, and on a copy with its first weights, the pull of weight decay is compared with the gradient "
        "of the loss; a penalty inside the loss is compared with the loss itself. From a tenth on, a copy is trained "
        "with and without weight decay. It is an error if the pull is ten times the gradient, or costs most of the "
        "progress, and going without it helps."
    ),
    remedy="Lower weight_decay by factors of ten until the loss falls; 1e-4 is usual for SGD, 1e-2 for AdamW.",
    sources=(
        "CS231n, Neural Networks Part 3: regularization against data loss",
        "Braiek and Khomh, TheDeepChecker (2022): regularization gradient at least twice the data gradient",
    ),
)

SUSPECT = 0.1
RULES = 10.0
"""Pull of the penalty in units of the gradient of the loss: from here it is tried out; from here it rules."""

_TRIAL_STEPS = 80


def look(subject: Subject) -> Finding:
    """Compare pull and gradient, and try without the pull if it is strong."""
    run = subject.run
    if run.steps == 0:
        raise InspectorError("No step was seen yet. Run your training loop for a moment, then look again.")
    decay = strongest_decay(run)
    penalty = penalty_share(run)
    if decay is None and penalty is None:
        return finding(INFO, "ok", "No: there is no weight decay, and no penalty was seen in the loss.")
    evidence: dict[str, float | list[float]] = {}
    if penalty is not None:
        evidence["penalty_to_loss"] = penalty
    if decay is not None:
        evidence["decay_to_gradient"] = decay.tolist()[:200]
    share = max(usual(decay), pull_at_start(subject)) if decay is not None else 0.0
    evidence["share"] = max(share, penalty or 0.0)
    if penalty is not None and penalty > RULES:
        return _penalty(penalty, evidence)
    if share < SUSPECT:
        message = f"No: the pull of the penalty is {max(share, penalty or 0.0):.2g} times the gradient of the loss."
        return finding(INFO, "ok", message, evidence=evidence)
    return _decay(subject, share, evidence)


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


def _penalty(penalty: float, evidence: dict[str, float | list[float]]) -> Finding:
    message = f"Yes: what is added to the loss is {penalty:.3g} times the loss itself."
    remedy = Remedy(
        "Give the penalty a smaller factor.",
        "penalty = sum(p.pow(2).sum() for p in model.parameters())\nloss = loss_fn(model(x), y) + 1e-4 * penalty",
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy)


def _decay(subject: Subject, share: float, evidence: dict[str, float | list[float]]) -> Finding:
    trial = _try_without(subject)
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
    if severity == "info":
        message = f"It is strong, but it does no harm that could be seen: {pull}."
    elif trial is not None:
        message = f"Yes: {pull}. Without it the loss falls to {trial.treated[-1]:.3g} where it stays at {trial.without[-1]:.3g} now."
    else:
        message = f"Yes: {pull}."
    remedy = Remedy(
        "Lower weight_decay. Try 1e-4 first.",
        'for group in optimizer.param_groups:\n    group["weight_decay"] = 1e-4',
        trial,
    )
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where="optimizer")


def _most_progress_lost(trial: Trial) -> bool:
    """Whether weight decay cost more than half of the fall in the loss."""
    start, without, treated = trial.treated[0], trial.without[-1], trial.treated[-1]
    return not math.isfinite(without) or (start - without) < 0.5 * (start - treated)


def _try_without(subject: Subject) -> Trial | None:
    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_TRIAL_STEPS)
        return Arm(batches, judge), Arm(batches, judge, change=lambda copied: set_option(copied, "weight_decay", 0.0))

    return try_out(subject, arms, steps=_TRIAL_STEPS)


CHECK = Check(INFO, look, trial_chart)
