"""batch_balance: does each batch hold the classes that a random draw would give?"""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.data.class_labels import class_labels
from nn_inspector.checks.data.shuffling_remedy import by_design, remedy, speaks_against, try_shuffling
from nn_inspector.checks.symptoms import NOT_LEARNING, UNSTABLE
from nn_inspector.history import Finding, Severity

INFO = CheckInfo(
    name="batch_balance",
    stage="data",
    kind="passive",
    question="Does each batch hold the classes that a random draw would give?",
    why=(
        "A step follows the batch that it sees. If that holds one class only, the step teaches to answer this class, the "
        "next one teaches to answer another, and the network swings between them. Batch normalization suffers as well."
    ),
    how=(
        "The classes in your batches are counted while you train, and compared with random draws from the same labels. If "
        "most batches hold a single class, where chance would give next to none, mixed batches are tried on a copy: it is an "
        "error if they help, and a remark if they do not, or if a sampler of your own puts the batches together."
    ),
    remedy="Pass shuffle=True to the DataLoader. For rare classes take a WeightedRandomSampler.",
    sources=(
        "Bengio, Practical Recommendations for Gradient-Based Training of Deep Architectures (2012), 3.1.1: order of items",
        "Ioffe, Batch Renormalization (2017): minibatches that are not independent and identically distributed",
    ),
    explains=(*NOT_LEARNING, *UNSTABLE, "generalization_gap", "batch_size", "normalization"),
)

MOST = 0.5
"""Share of the batches that hold one class only from which on it counts."""

BY_CHANCE = 0.1
"""Up to this share of such batches in random draws it is no accident."""

_RARE = 0.2


def look(subject: Subject) -> Finding:
    """Count the classes in the batches that were seen."""
    part = class_labels(subject)
    assert part.classes is not None, "they are chosen so"
    shares = part.classes.total[part.classes.total > 0] / part.items
    single, size = part.one_class_batches / part.batches, part.items / max(part.classes.blocks()[0].blocks, 1)
    expected = float((shares**size).sum())
    evidence = {
        "one_class_batches": single,
        "expected_by_chance": expected,
        "classes": float(len(shares)),
        "batch_size": size,
    }
    if single < MOST or expected > BY_CHANCE:
        return finding(INFO, "ok", _praise(shares, size, single, expected), evidence=evidence, where="train_loader")
    message = (
        f"No: {single:.0%} of the batches hold one class only. Of batches of {size:.0f} items, drawn at random from "
        f"{len(shares)} classes, {expected:.0%} would."
    )
    if by_design(subject):
        message = f"{single:.0%} of the batches hold one class only, as your sampler puts them together."
        return finding(INFO, "info", message, evidence=evidence, where="train_loader")
    trial = try_shuffling(subject)
    severity: Severity = "warning"
    if trial is not None and trial.helped:
        severity = "error"
    elif speaks_against(trial):
        severity = "info"
        message += " Mixed batches did no better on a copy, so this does little harm."
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy(subject, trial), where="train_loader")


def _praise(shares: np.ndarray, size: float, single: float, expected: float) -> str:
    rarest = float(shares.min())
    absent = (1 - rarest) ** size
    text = f"Yes: {single:.0%} of the batches hold one class only, and {expected:.0%} of random draws would."
    if absent > 1 - _RARE and rarest < 1 / len(shares) / 2:
        text += f" The rarest class ({rarest:.1%} of the items) is in {1 - absent:.0%} of the batches only."
    return text


CHECK = Check(INFO, look, trial_chart)
