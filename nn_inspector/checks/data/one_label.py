"""All labels that were read are the same one: are the data sorted, or is there no other?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.data.evenness import FEW_ITEMS
from nn_inspector.checks.data.label_choice import share_of_others
from nn_inspector.checks.data.shuffling_remedy import by_design, remedy, speaks_against, try_shuffling
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource
from nn_inspector.history import Finding, Severity
from nn_inspector.probes import Epoch, LabelOrder, find_labels

UNLIKELY = 1e-6
"""Probability below which it is no accident that one label only came."""

_SAMPLE = 64


def judge_one_label(
    info: CheckInfo,
    subject: Subject,
    epoch: Epoch,
    labels: Sequence[LabelOrder],
    evidence: dict[str, float | list[float]],
) -> Finding | None:
    """What there is to say if one label only was seen; None if there were others, or too few items.

    If p is the share of the other labels in the data set, random order leaves them all out of N items with probability
    (1 - p)^N. The share is taken from labels that lie open in the data set, else from a random sample of its items.
    """
    part = next((part for part in labels if part.items >= FEW_ITEMS and one_label(part) is not None), None)
    label = one_label(part) if part is not None else None
    if part is None or label is None:
        return None
    evidence |= {"items_read": part.items, "label": label}
    what = f"only the label {label:g} was seen in {part.items:,} items"
    everything_read = epoch.complete and epoch.read == epoch.batches
    share = 0.0 if everything_read else _share(subject, part, label)
    if share is None:
        message = f"Perhaps not: {what}. If the data set has others, the items come sorted by label."
        return finding(info, "warning", message, evidence=evidence, remedy=remedy(subject, None), where="train_loader")
    evidence["share_of_others"] = share
    if share == 0:
        message = f"There is no order to speak of: {what}, and no other one was found in the data."
        return finding(info, "info", message, evidence=evidence, where="train_loader")
    if part.items * math.log1p(-min(share, 0.999)) > math.log(UNLIKELY):
        message = f"Not known yet: {what}, and the others make up {share:.2%} of the data set."
        return finding(info, "info", message, evidence=evidence, where="train_loader")
    if by_design(subject):
        message = f"Your sampler draws them so: {what}, and the others make up {share:.2%} of the data set."
        return finding(info, "info", message, evidence=evidence, where="train_loader")
    trial = try_shuffling(subject)
    message = f"No: the items come sorted by label. {what.capitalize()}, but {share:.0%} of the data set have others."
    severity: Severity = "error"
    if speaks_against(trial):
        severity = "info"
        message += " Shuffled training on a copy did no better, so this does little harm."
    return finding(info, severity, message, evidence=evidence, remedy=remedy(subject, trial), where="train_loader")


def one_label(part: LabelOrder) -> float | None:
    """The label that all items have, or None."""
    if part.classes is not None and np.count_nonzero(part.classes.total) == 1:
        return float(np.flatnonzero(part.classes.total)[0])
    return part.constant


def _share(subject: Subject, part: LabelOrder, label: float) -> float | None:
    loader = subject.training.train_loader
    others = share_of_others(loader, part.place, label)
    if others is not None:
        return others
    other_passes = [epoch.parts.get(part.place) for epoch in subject.run.epochs("train")]
    shares = [share for one in other_passes if one is not None and (share := _share_in(one, label))]
    if shares:
        return max(shares)
    if subject.seconds <= 0 or not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    try:
        batch = BatchSource(loader).mixed(1, size=_SAMPLE)[0]
    except ExperimentError:
        return None
    sampled = next((one for one in find_labels(batch, wait=True) if one.place == part.place), None)
    if sampled is None:
        return None
    values = sampled.classes if sampled.classes is not None and part.classes is not None else sampled.numbers
    return float(np.mean(values != label)) or None  # a sample without others does not prove that there are none


def _share_in(part: LabelOrder, label: float) -> float:
    if part.classes is not None:
        counts = part.classes.total
        return 1 - float(counts[int(label)]) / part.items if int(label) < len(counts) else 1.0
    return 0.0 if part.constant == label else 0.5
