"""label_range: are the labels what the loss takes and the last layer can say?"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.ctc_blank import blank_targets
from nn_inspector.checks.data.ignored_class import IgnoredClass, ignored_class, ignored_label
from nn_inspector.checks.data.label_choice import likely_labels
from nn_inspector.checks.data.label_rules import CLASS_LOSSES, REACHES, Verdict, range_of, verdict_on
from nn_inspector.checks.data.losses_by_hand import DIFFERENCE, LOG_LOSS, went_below_zero
from nn_inspector.checks.data.losses_seen import Given, losses_seen
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.errors import ExperimentError
from nn_inspector.history import SEVERITIES, Finding, Remedy, Run
from nn_inspector.probes import Epoch

INFO = CheckInfo(
    name="label_range",
    stage="data",
    kind="active",
    question="Are the labels what the loss takes and the last layer can say?",
    why=(
        "Each loss function takes targets of one kind: class numbers from 0, answers from 0 to 1, signs, counts. Given "
        "others, it either stops with an error that says little, or falls for ever towards answers that mean nothing. "
        "And an activation at the end bounds what a network can say: a sigmoid never gets to 5."
    ),
    how=(
        "What the loss was given is read from the first steps, and a copy is asked for more of it. It is an error if a "
        "label stands for no output, or if a binary cross entropy is given targets beyond 0 and 1. So it is if 30 % of the "
        "targets' variation is out of the last activation's reach, or if type or shape is none that the loss takes. It is a warning if padding "
        "has the number of a class, which the loss then leaves out."
    ),
    remedy="Count classes from 0, bring answers to 0 and 1, or take the loss and the last layer that fit the targets.",
    sources=(
        "PyTorch documentation: torch.nn.CrossEntropyLoss, BCEWithLogitsLoss, PoissonNLLLoss: target",
        "Questions on Stack Overflow and GitHub with labels out of range, as in the fault suite of this project",
    ),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "output_bias", "learning_rate", "label_balance", "loss_learnable", "metric_match",
        "label_alignment", "target_scale", "capacity", "update_direction", "optimizer_settings", "weight_scale",
    ),
)  # fmt: skip


def look(subject: Subject) -> Finding:
    """Hold the targets against what the loss function and the last layer take."""
    given = [_with_whole_epoch(subject, one) for one in losses_seen(subject)]
    found = [(one, verdict) for one in given if (verdict := verdict_on(one)) is not None]
    found = [(one, _doubted(subject, one, verdict)) for one, verdict in found]
    if not found:
        return _left_out(subject) or finding(
            INFO,
            "ok",
            _praise(given[0]),
            evidence={"lowest": given[0].low, "highest": given[0].high},
            basis="structure",
        )
    _, verdict = min(found, key=lambda pair: SEVERITIES.index(pair[1].severity))
    remedy = Remedy(verdict.advice, verdict.code)
    evidence = dict(verdict.evidence)
    return finding(
        INFO,
        verdict.severity,
        verdict.message,
        evidence=evidence,
        remedy=remedy,
        where="train_loader",
        basis="structure",
    )


def _left_out(subject: Subject) -> Finding | None:
    """A class that the loss takes for padding, or for what stands between two letters."""
    for look_for in (_blank, _ignored_word, _ignored_item):
        with contextlib.suppress(ExperimentError):
            found = look_for(subject)
            if found is not None:
                return found
    return None


def _ignored_word(subject: Subject) -> Finding | None:
    return _ignored(
        ignored_class(subject),
        "labels, padding aside,",
        "positions",
        "Fill labels up with a number that stands for no class, such as -100: losses leave that out unasked.",
        "labels = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)\n"
        "loss_fn = torch.nn.CrossEntropyLoss()  # ignore_index is -100",
    )


def _ignored_item(subject: Subject) -> Finding | None:
    return _ignored(
        ignored_label(subject),
        "labels",
        "items",
        "Leave ignore_index out: it is for padding among labels, and these are labels of whole items.",
        "loss_fn = torch.nn.CrossEntropyLoss()",
    )


def _ignored(found: IgnoredClass | None, labels: str, places: str, advice: str, code: str) -> Finding | None:
    if found is None:
        return None
    return finding(
        INFO,
        "warning",
        f"No: {found.share:.0%} of the {labels} are {found.number}, and the loss leaves them out: it takes that number for "
        f"padding (ignore_index={found.number}). If {found.number} is a class, it is never learned. The network says it for "
        f"{found.said:.0%} of these {places}.",
        evidence={"left_out": found.share, "said": found.said},
        remedy=Remedy(advice, code),
        where="train_loader",
        basis="structure",
    )


def _blank(subject: Subject) -> Finding | None:
    found = blank_targets(subject)
    if found is None:
        return None
    return finding(
        INFO,
        "error",
        f"No: {found.share:.0%} of the targets are {found.blank}, which is the blank of the CTC loss: what stands between two letters. "
        "A letter of that number can never be written, and the loss is wrong for all texts that have it.",
        evidence={"blanks": found.share, "lowest": float(found.lowest)},
        remedy=Remedy(
            "Number the letters from 1 and leave 0 to the blank; or give the blank a number of its own behind the last letter.",
            f"loss_fn = torch.nn.CTCLoss(blank={found.blank})  # with targets {'that begin at 1' if not found.blank else 'of other numbers'}",
        ),
        where="train_loader",
        basis="structure",
    )


def _with_whole_epoch(subject: Subject, one: Given) -> Given:
    """With the classes of all items that were handed out before the loop stopped: a rare label may have stopped it.

    Where it went on, labels that it cannot take were never given to the loss: it makes others of them.
    """
    epochs = subject.run.epochs("train")
    if one.floating or one.name not in CLASS_LOSSES or not epochs or not _stopped(subject.run, epochs[-1]):
        return one
    parts = [part for epoch in epochs for part in likely_labels(epoch.parts.values(), None)]
    places = {part.place for part in parts}
    counted = [part.classes.total for part in parts if part.classes is not None]
    if len(places) != 1 or len(counted) != len(parts) or not counted:
        return one
    classes = torch.cat([torch.as_tensor(total.nonzero()[0]).double() for total in counted])
    usual = one.values[one.values != one.options.get("ignore_index", -100)]
    if not bool(torch.isin(usual, classes).all()):
        return one
    return replace(one, values=torch.cat([one.values, classes]))


def _stopped(run: Run, last: Epoch) -> bool:
    """Whether the loop came to no step with the last batch that it got."""
    return not last.complete and last.batches > run.steps - last.first_step


def _doubted(subject: Subject, one: Given, verdict: Verdict) -> Verdict:
    """A loss that the loop computes itself may be given something else than the labels as they are in the batches."""
    if one.name == LOG_LOSS:
        sure = went_below_zero(subject.run)
    elif one.name == DIFFERENCE:
        sure = not _smaller_than_possible(subject, one)
    else:
        sure = True
    if sure:
        return verdict
    return replace(verdict, severity="info", message=verdict.message.replace("No:", "Perhaps not:", 1))


def _smaller_than_possible(subject: Subject, one: Given) -> bool:
    """Whether the loss was smaller than any prediction within reach could make it, so that others were its targets."""
    distance = (one.values - one.values.clamp(*REACHES[one.ends.partition(":")[0]])).abs()
    least = min(float(distance.mean()), float(distance.square().mean()))
    return not LossCurve.of(subject.run).best >= least / 2


def _praise(one: Given) -> str:
    if one.name in CLASS_LOSSES and not one.floating:
        outputs = one.prediction[1 if len(one.prediction) > 1 else 0]
        return f"Yes: the labels go from {range_of(one)}, and the network has {outputs} outputs."
    return f"Yes: the targets go from {range_of(one)}, as {one.name.replace('_', ' ')} takes them."


CHECK = Check(INFO, look)
