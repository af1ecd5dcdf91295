"""batch_balance: does each batch hold the classes that a random draw would give?"""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
from torch.utils.data import DataLoader, WeightedRandomSampler

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.data.class_labels import class_labels
from nn_inspector.checks.data.drawn_classes import drawn_alike, drawn_classes, found_of
from nn_inspector.checks.data.shuffling_remedy import by_design, remedy, speaks_against, try_shuffling
from nn_inspector.checks.symptoms import NOT_LEARNING, UNSTABLE
from nn_inspector.experiments import item_sampler
from nn_inspector.history import Finding, Remedy, Severity

INFO = CheckInfo(
    name="batch_balance",
    stage="data",
    kind="passive",
    question="Does each batch hold the classes that a random draw would give?",
    why=(
        "A step follows the batch that it sees. If that holds one class only, the step teaches to answer this class, the "
        "next one teaches to answer another, and the network swings between them. Batch normalization suffers as well. And "
        "a class that the sampler hardly ever draws is not learned."
    ),
    how=(
        "The classes in your batches are counted while you train, and compared with random draws from the same labels. If "
        "most batches hold a single class, where chance would give next to none, mixed batches are tried on a copy: it is an "
        "error if they help, and a remark if they do not, or if a sampler of your own puts the batches together. What such a "
        "sampler draws is compared with the data set: it is a warning if rare classes come less than half as often as there, "
        "and the network does not find most of them; an error if it finds next to none, and a copy learns more from batches that "
        "hold all classes alike. A sampler with fewer weights than there are items is an error: it never draws the rest."
    ),
    remedy="Pass shuffle=True to the DataLoader. For rare classes take a WeightedRandomSampler.",
    sources=(
        "Bengio, Practical Recommendations for Gradient-Based Training of Deep Architectures (2012), 3.1.1: order of items",
        "Ioffe, Batch Renormalization (2017): minibatches that are not independent and identically distributed",
    ),
    explains=(
        *NOT_LEARNING, *UNSTABLE, "generalization_gap", "batch_size", "normalization", "label_alignment", "label_balance",
        "output_bias", "initial_loss", "metric_match", "split_shift",
    ),
)  # fmt: skip

MOST = 0.5
"""Share of the batches that hold one class only from which on it counts."""

BY_CHANCE = 0.1
"""Up to this share of such batches in random draws it is no accident."""

FEW_WEIGHTS = 0.1
"""So few weights for each item are those of the classes, and no choice of items."""

_RARE = 0.2

NOT_FOUND = 0.3
"""Share of the items of rare classes up to which a network has not found them."""

FOUND = 0.8
"""Share from which on it has found them all the same."""

_INVERSE = """\
counts = torch.bincount(train_labels)
weights = (1.0 / counts)[train_labels]  # not counts[train_labels]: the rarer the class, the larger its weight
sampler = torch.utils.data.WeightedRandomSampler(weights, num_samples=len(train_labels))"""


def look(subject: Subject) -> Finding:
    """Count the classes in the batches that were seen."""
    return _few_weights(subject) or _drawn_too_rarely(subject) or _of_batches(subject)


def _few_weights(subject: Subject) -> Finding | None:
    """A sampler with fewer weights than there are items, as where each class was given one, draws none of the others."""
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader) or not isinstance(loader.dataset, Sized):
        return None
    sampler = item_sampler(loader)
    if not isinstance(sampler, WeightedRandomSampler):
        return None
    weights, items = len(sampler.weights), len(loader.dataset)
    rest_is_validated = getattr(subject.training.val_loader, "dataset", None) is loader.dataset
    if weights >= items or rest_is_validated:
        return None
    return finding(
        INFO,
        "error" if weights <= FEW_WEIGHTS * items else "warning",
        f"No: your WeightedRandomSampler has {weights:,} weights for {items:,} items. It draws the first {weights:,} items only; the "
        f"other {items - weights:,} are never seen.",
        evidence={"weights": float(weights), "items": float(items)},
        remedy=Remedy("Give each item a weight, by its class.", _INVERSE),
        where="train_loader",
        basis="structure",
    )


def _drawn_too_rarely(subject: Subject) -> Finding | None:
    """A sampler that makes rare classes still rarer, as with weights that are not turned over."""
    seen = drawn_classes(subject)
    if seen is None or not len(seen.rarer):
        return None
    rare, (held, drawn) = seen.rarer, seen.shares
    worst, found = int(rare[0]), found_of(subject, seen, rare)
    others = f", and {len(rare) - 1} more come too rarely as well" if len(rare) > 1 else ""
    message = (
        f"Your sampler draws rare classes still more rarely: class {worst} makes up {held[worst]:.1%} of the data set, and "
        f"{drawn[worst]:.1%} of what was drawn{others}."
    )
    evidence = {"class": float(worst), "data_set": float(held[worst]), "drawn": float(drawn[worst])}
    remedy = Remedy("Give each item the inverse of how often its class comes as its weight.", _INVERSE)
    if found is not None:
        evidence["rare_found"] = found
        message += f" Your network finds {found:.0%} of the items of {'it' if len(rare) == 1 else 'these classes'}."
    if found is not None and found >= FOUND:
        return finding(INFO, "info", f"Is it meant? {message}", evidence=evidence, remedy=remedy, where="train_loader")
    trial = drawn_alike(subject, seen)
    helped = trial is not None and trial.helped
    return finding(
        INFO,
        "error" if helped and found is not None and found <= NOT_FOUND else "warning",
        f"No: {message[0].lower()}{message[1:]}",
        evidence=evidence,
        remedy=Remedy(remedy.text, remedy.code, trial),
        where="train_loader",
        basis="experiment" if helped else "structure",
    )


def _of_batches(subject: Subject) -> Finding:
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
