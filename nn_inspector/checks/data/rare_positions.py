"""Rare classes where each position of an item has one: words that are tagged, pixels of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.data.class_answers import LOST, NO_BETTER, RARE, ClassAnswers
from nn_inspector.checks.data.class_race import Rare, apart, surely
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, TrainingCopy, batch_size, isolated
from nn_inspector.experiments.one_pass import Pass, one_pass
from nn_inspector.history import Evidence, Finding, Remedy, Run, Severity

MOST_CLASSES = 100
"""With more classes than this some of them are rare by nature."""

_CLASS_LOSSES = frozenset({"cross_entropy", "nll_loss"})
_FEWEST = 20
_JUDGED_BATCHES = 8
_POSITIONS = 200_000

_WEIGHTS = """\
counts = torch.bincount(train_labels.flatten())
loss_fn = torch.nn.CrossEntropyLoss(weight=counts.sum() / (len(counts) * counts))"""


def rare_positions(info: CheckInfo, subject: Subject) -> Finding | None:
    """Whether the rare classes of positions are found, and if not, whether a copy that weighs all classes alike finds them.

    Returns:
        None if items have no classes of positions: numbers, a class for each item, or the tokens of a language.

    Raises:
        ExperimentError: no experiment is possible, or there is too little to judge by.
    """
    if subject.seconds <= 0 or not _may_be_of_positions(subject.run):
        return None
    with isolated(subject.training, start=Start()) as copied:
        first = position_answers(copied, subject.batches()[:1])
    if first is None:
        return None
    pool, judges = apart(subject, max(1, min(_JUDGED_BATCHES, _POSITIONS // len(first.right))))
    with isolated(subject.training, start=Start()) as copied:
        now = surely(position_answers)(copied, judges)
    counts = now.right.bincount()
    shares = counts / counts.sum()
    present = shares[counts > 0].tolist()
    rare = [int(one) for one in ((counts > 0) & (counts < RARE * counts.max())).nonzero().flatten()]
    evidence: Evidence = {"classes": [float(one) for one in counts.nonzero().flatten()], "shares": present}
    spread = f"the most frequent class has {max(present):.1%} of the positions, the rarest {min(present):.1%}"
    if not rare or len(present) > MOST_CLASSES:
        why = "No class is rare" if not rare else f"Some classes are rare, as it has to be with {len(present)} of them"
        return finding(info, "info" if rare else "ok", f"{why}: {spread}.", evidence=evidence, where="train_loader")
    if now.count(rare) < _FEWEST:
        raise ExperimentError(f"Only {now.count(rare)} positions of rare classes are there to judge by.")
    asked = Rare(rare, now, surely(position_answers), judges, lambda one: one.f1)
    evidence = {**evidence, "rare_found": asked.found, "f1": now.f1}
    which = f"class {rare[0]}" if len(rare) == 1 else f"the {len(rare)} rare classes"
    message = f"{spread}. Your network finds {asked.found:.0%} of {which}."
    if asked.found > LOST:
        return finding(info, "info", f"T{message[1:]}", evidence=evidence, where="train_loader")
    return _tried(info, subject, pool, asked, evidence, message)


def position_answers(copied: TrainingCopy, batches: Sequence[Any]) -> ClassAnswers | None:
    """What a copy answers for each position of the items, as far as the loss counts it.

    Returns:
        None where there is a class for each item only, the loss is no single cross entropy, it weighs the classes already,
        or the classes are the tokens that the model is given.

    Raises:
        ExperimentError: the batches do not fit.
    """
    given, right = [], []
    for batch in batches:
        seen = one_pass(copied, batch)
        if not _of_positions(seen, batch_size(batch)):
            return None
        call = seen.calls[0]
        counted = call.target != call.options.get("ignore_index", -100)
        given.append(call.prediction.argmax(1)[counted].cpu())
        right.append(call.target[counted].cpu())
    answers = ClassAnswers(torch.cat(given), torch.cat(right))
    return answers if len(answers.right) and int(answers.right.min()) >= 0 else None


def _may_be_of_positions(run: Run) -> bool:
    """Whether the loop was seen to call a cross entropy that does not weigh the classes."""
    return any(entry.call in _CLASS_LOSSES and not entry.facts.get("weighted") for entry in list(run.trace))


def _of_positions(seen: Pass, items: int) -> bool:
    if len(seen.calls) != 1 or seen.calls[0].name not in _CLASS_LOSSES:
        return False
    call = seen.calls[0]
    if call.target.is_floating_point() or call.prediction.dim() < 2 or call.options.get("weight") is not None:
        return False
    if call.target.numel() < 2 * items or call.prediction.shape[:1] + call.prediction.shape[2:] != call.target.shape:
        return False
    tokens = [part for one in seen.inputs for part in one if part.dtype is torch.int64 and part.dim() > 1]
    return all(part.numel() and int(part.max()) + 1 >= 2 * call.prediction.shape[1] for part in tokens)


def _tried(
    info: CheckInfo, subject: Subject, pool: list[Any], asked: Rare, evidence: Evidence, message: str
) -> Finding:
    now = asked.now
    counts = now.right.bincount().double()
    weights = torch.where(counts > 0, counts.sum() / (counts.count_nonzero() * counts.clamp(min=1)), 0.0)
    tried = asked.race(subject, pool, weights=weights)
    evidence = {**evidence, "rare_found_if_weighed": tried.found}
    message += f" A copy whose loss weighs all classes alike found {tried.found:.0%}"
    if not tried.helped:
        message += (
            f", and one with your loss {tried.found_without:.0%}: that does not put the blame on how often they come."
        )
        return finding(info, "info", f"T{message[1:]}", evidence=evidence, where="train_loader", basis="experiment")
    message += f": its F1 score, mean over the classes, is {tried.score:.2f}, and that of your network {now.f1:.2f}."
    severity: Severity = "error" if now.average <= 1 / now.classes + NO_BETTER else "warning"
    return finding(
        info,
        severity,
        f"No: {message}",
        evidence=evidence,
        remedy=Remedy(
            "Give rare classes a larger weight in the loss.", _WEIGHTS, tried.trial("1 - F1, mean over the classes")
        ),
        where="train_loader",
        basis="experiment",
    )
