"""label_alignment: do the labels belong to their inputs?"""

from __future__ import annotations

import contextlib
import math

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.checks.answers import Answers, answers
from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.misplaced import seen_misplaced
from nn_inspector.checks.data.pairing import FEWEST, Fit, Pairs, fit
from nn_inspector.checks.items_seen import look_at_items
from nn_inspector.checks.race import BADLY, known_left, left_of_validation
from nn_inspector.checks.relation import of_answers
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, initial_state, isolated, tensors_of, train
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="label_alignment",
    stage="data",
    kind="active",
    question="Do the labels belong to their inputs?",
    why=(
        "If inputs and labels were shuffled, sorted or filtered apart, or one of them is a row behind, nothing can be "
        "learned but the labels by heart. No shape is wrong then, and no error comes."
    ),
    how=(
        "A simple model learns the labels from the inputs, and permuted labels beside them. If it does no better with the "
        "true ones on items that it has not seen, rows are tried that are shifted by one or two, and the validation data. "
        "It is an error if the labels can be learned there, or far better there and your network fails on them. So it is if the inputs "
        "are the targets in training only, or if the loop flattens predictions and targets in different orders. So it is if masks or boxes fit their images better when flipped "
        "or turned, and are not learned so, or if an augmentation makes images of one class look like another. So it is if images are flipped at random and their places or angles are not. It is a warning if your network, too, learns nothing of unseen items, or is asked "
        "for its own input where a copy restores another tensor of the batch. So it is if the batch holds the next tokens "
        "and the loss asks for those after them."
    ),
    remedy="Shuffle inputs and labels with one and the same order, and look at a few pairs by eye before you train.",
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019): become one with the data",
        "Ojala and Garriga, Permutation Tests for Studying Classifier Performance (2010)",
    ),
    explains=(
        *ALL_SYMPTOMS, "generalization_gap", "capacity", "split_shift", "contradictory_labels", "metric_match",
        "worst_examples", "loss_learnable", "regularization_sweep", "initial_loss", "label_balance", "learning_rate",
        "batch_size",
    ),
)  # fmt: skip

LEARNED = 0.2
"""Share of the variance that a simple model has to explain of labels that are said to be learnable elsewhere."""

NOTHING = 0.85
"""A network that has so much still to learn of items that it has not seen has learned nothing about them."""

_RELATED = 0.1
"""Answers that go with the labels so far, see `relation`, were learned from them, however much noise there is."""

_LOST = 2.0
_BATCHES = 20

NOISY = 0.35
"""Of what a simple model explains of the validation labels, so little of the training labels: four in ten of these are wrong."""

BY_HEART = 0.1
"""A network that has so much less to learn of its own items than of the validation data knows them by heart."""

SURE = 200
"""With fewer items a warning would rest on too little."""

SURE_OTHERS = 60
"""So it would with fewer items that are not like most of the others."""

FEWEST_OTHERS = 20
"""Of fewer items that are not like the others, nothing can be learned, whether their labels are right or not."""

_SHIFTS = (1, -1, 2, -2)
_STEPS = 240
_APART = 0.3

_TOGETHER = """\
order = torch.randperm(len(x))
x, y = x[order], y[order]  # one order for both"""


def look(subject: Subject) -> Finding:
    """Learn the labels from the inputs, and permuted ones; if that is all the same, look for where they belong."""
    misplaced = seen_misplaced(INFO, subject)
    if misplaced is not None:
        return misplaced
    seen = look_at_items(subject, subject.training.train_loader, every_feature=True)
    if seen.reconstructs:
        return _on_its_own_targets(subject)
    pairs = Pairs.of(seen)
    if len(pairs.features) < FEWEST:
        raise ExperimentError(
            f"Only {len(pairs.features)} items are there to learn from; {FEWEST} at least are needed."
        )
    own = fit(pairs)
    evidence = {"correlation": own.correlation, "by_chance": own.spread}
    if own.clear:
        noisy = _noisier(subject, pairs, own, evidence) if own.explained <= NOISY else None
        if noisy is not None:
            return noisy
        message = f"Yes: a simple model explains {own.explained:.0%} of labels that it has not seen."
        return finding(INFO, "ok", message, evidence=evidence, basis="experiment")
    if seen.answers and pairs.others < FEWEST_OTHERS:
        raise ExperimentError(
            f"All but {pairs.others} of {len(pairs.features)} items have the same label: too few others to learn from."
        )
    return (
        _shifted(subject, evidence)
        or _as_in_validation(subject, pairs, evidence)
        or _noisier(subject, pairs, own, evidence)
        or _unlearnable(subject, pairs, evidence, enough=not seen.answers or pairs.others >= SURE_OTHERS)
    )


def _on_its_own_targets(subject: Subject) -> Finding:
    """Inputs and targets are the same, as they should be for a network that reconstructs, in validation as well."""
    elsewhere = None
    with contextlib.suppress(ExperimentError):
        elsewhere = look_at_items(subject, subject.training.val_loader, every_feature=True)
    if elsewhere is None or elsewhere.reconstructs:
        return finding(INFO, "ok", "Yes: the targets are the inputs.", basis="structure")
    return finding(
        INFO,
        "error",
        "No: in training the network is given its own targets as inputs, and in validation it is given others.",
        remedy=Remedy(
            "Give it the inputs in training, too: look for a name that is used twice.",
            "train_data = torch.utils.data.TensorDataset(x_train, y_train)  # not (y_train, y_train)",
        ),
        where="train_loader",
        basis="structure",
    )


def _shifted(subject: Subject, evidence: Evidence) -> Finding | None:
    """The labels of the next row, or of the one before."""
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    in_order = DataLoader(loader.dataset, batch_size=loader.batch_size or 1, collate_fn=loader.collate_fn)
    with contextlib.suppress(ExperimentError):
        ordered = Pairs.of(look_at_items(subject, in_order, mixed=False, every_feature=True))
        if fit(ordered).clear:  # what lies close together in the data set is alike
            return None
        found = {by: fit(ordered.shifted(by)) for by in _SHIFTS}
        by = max(found, key=lambda one: found[one].explained)
        if found[by].clear and found[by].explained >= LEARNED:
            return _raised_shift(by, found[by], evidence)
    return None


def _raised_shift(by: int, found: Fit, evidence: Evidence) -> Finding:
    rows = f"{abs(by)} row{'s' if abs(by) > 1 else ''}"
    first, second = ("x[:-%d]", "y[%d:]") if by > 0 else ("x[%d:]", "y[:-%d]")
    return finding(
        INFO,
        "error",
        f"No: the labels stand {rows} {'too late' if by > 0 else 'too early'}. From its own row a simple model learns nothing "
        f"of a label; of the label {rows} {'further on' if by > 0 else 'before'} it explains {found.explained:.0%}.",
        evidence={**evidence, "shift": float(by), "explained_if_shifted": found.explained},
        remedy=Remedy(
            f"Shift the labels by {rows}, and find where they lost their place (a row cut off, a header, roll()).",
            f"x, y = {first % abs(by)}, {second % abs(by)}",
        ),
        where="train_loader",
        basis="experiment",
    )


def _as_in_validation(subject: Subject, pairs: Pairs, evidence: Evidence) -> Finding | None:
    """What can be learned from the validation data does not hold for the training data."""
    with contextlib.suppress(ExperimentError):
        apart = Pairs.of(look_at_items(subject, subject.training.val_loader, every_feature=True))
        if len(apart.features) < FEWEST or apart.features.shape[1] != pairs.features.shape[1]:
            return None
        there, across = fit(apart), fit(apart, pairs)
        if not there.clear or there.explained < LEARNED or across.clear:
            return None
        return finding(
            INFO,
            "error",
            f"No: from the validation data a simple model learns the labels (it explains {there.explained:.0%} of those that "
            "it has not seen). From the training data it learns nothing, and what it learned there does not hold here: the "
            "labels of the training data do not belong to their inputs.",
            evidence={**evidence, "explained_in_validation": there.explained, "explained_across": across.explained},
            remedy=Remedy("Shuffle, sort and filter inputs and labels together.", _TOGETHER),
            where="train_loader",
            basis="experiment",
        )
    return None


def _noisier(subject: Subject, pairs: Pairs, own: Fit, evidence: Evidence) -> Finding | None:
    """Training labels that tell far less of their inputs than the validation labels do, and a network that learned them by heart.

    Inputs that are changed at random in training, as augmentations do, tell less as well.
    """
    left, own_left = left_of_validation(subject), known_left(subject)
    if left is None or left <= BADLY or own_left is None or own_left > left - BY_HEART:
        return None
    with contextlib.suppress(ExperimentError):
        if _made_anew(subject):
            return None
        apart = Pairs.of(look_at_items(subject, subject.training.val_loader, every_feature=True))
        if len(apart.features) < FEWEST or apart.features.shape[1] != pairs.features.shape[1]:
            return None
        there, across = fit(apart), fit(apart, pairs)
        if not there.clear or max(own.explained, across.explained) > NOISY * there.explained:
            return None
        return finding(
            INFO,
            "error",
            f"Not all: a simple model explains {there.explained:.0%} of the validation labels that it has not seen, and of the training "
            f"labels {own.explained:.0%}. Your network has learned those by heart. Many of them do not belong to their inputs.",
            evidence={**evidence, "explained_in_validation": there.explained, "explained_across": across.explained},
            remedy=Remedy(
                "Shuffle, sort and filter inputs and labels together, and look at a few pairs by eye.", _TOGETHER
            ),
            where="train_loader",
            basis="experiment",
        )
    return None


def _made_anew(subject: Subject) -> bool:
    """Whether items of the training data differ each time they are read."""
    first, second = BatchSource(subject.training.train_loader, seconds=5.0).drawn_again(4)
    pairs = zip(tensors_of(first), tensors_of(second), strict=True)
    return not all(one.shape == other.shape and torch.equal(one, other) for one, other in pairs)


def _unlearnable(subject: Subject, pairs: Pairs, evidence: Evidence, *, enough: bool) -> Finding:
    sure = enough and len(pairs.features) >= SURE
    left = _left_of_others(subject) if sure and not LossCurve.of(subject.run).lost else None
    if left is None or not NOTHING <= left <= _LOST or _tells_something(subject):
        message = (
            "A simple model learns no more of these labels than of permuted ones: they are not to be had so easily."
        )
        return finding(INFO, "info", message, evidence=evidence)
    return finding(
        INFO,
        "warning",
        "Perhaps not: neither a simple model nor your network learns more of these labels, for items that it has not seen, "
        "than of permuted ones. Either labels and inputs do not belong together, or the inputs do not tell them.",
        evidence={**evidence, "left_to_learn": left},
        remedy=Remedy("Look at a few pairs by eye, and shuffle inputs and labels together.", _TOGETHER),
        where="train_loader",
    )


def _tells_something(subject: Subject) -> bool:
    """Whether the network's answers go with the validation items more than by chance, however much noise there is.

    Of classes its scores are asked: where one class is rare, the most likely one may always be another.
    """
    if subject.training.val_loader is None:
        return False
    try:
        seen = look_at_items(subject, subject.training.val_loader)
    except ExperimentError:
        return False
    given, right = seen.prediction, seen.target
    if given.dim() == right.dim() + 1 and not right.is_floating_point() and int(right.min()) >= 0:
        given, right = given.log_softmax(1), F.one_hot(right, given.shape[1])
    elif seen.task != "numbers":
        return False
    return of_answers(Answers("numbers", given, right)).holds(_RELATED)


def _left_of_others(subject: Subject) -> float | None:
    """What a copy has left to learn of items that it was not trained on: the least it had at any time.

    None where that cannot be told, or says little: the user's own training was much longer.
    """
    if subject.run.steps > 2 * _STEPS:
        return left_of_validation(subject)
    try:
        batches = BatchSource(subject.training.train_loader, seconds=max(subject.seconds / 6, 0.1)).mixed(_STEPS)
        cut = math.ceil(_APART * len(batches))
        judges, rest = batches[:cut], batches[cut:]
        if not rest:
            return None
        part = min(max(subject.run.steps, 80), _STEPS) // 4
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            left = []
            for number in range(4):
                chosen = [rest[(number * part + place) % len(rest)] for place in range(part)]
                train(copied, chosen, steps=part)
                found = [one for one in (answers(copied, batch) for batch in judges) if one is not None]
                share = Answers.together(found).unlearned if found else None
                left += [share] if share is not None else []
    except ExperimentError:
        return None
    apart = left_of_validation(subject)
    return min([*left, *([apart] if apart is not None else [])], default=None)


CHECK = Check(INFO, look)
