"""Rules about numbers that the last operation cannot give."""

from __future__ import annotations

import math
from dataclasses import replace

from nn_inspector.checks.base import Subject
from nn_inspector.checks.judging.complaint import Complaint
from nn_inspector.checks.judging.contest import Contest, contest
from nn_inspector.checks.judging.path import REACH, Operation
from nn_inspector.checks.judging.place import Place, place_of, text_of, where_of
from nn_inspector.checks.judging.reading import Judged
from nn_inspector.checks.judging.remedies import entropy_of_answers, squared_error, standardized_error
from nn_inspector.checks.judging.targets import Targets

OUT_OF_REACH = 0.05
"""From this share of the targets on, being out of reach is more than a few outliers."""

LARGELY = 0.2
"""From this share on no network can do well."""

LARGE = 10.0
"""Beyond this, targets are scaled as well: a network begins near 0, and it is far from there to them."""


def unreachable(subject: Subject, seen: Judged) -> Complaint | None:
    """Numbers to predict that the last operation cannot give."""
    if not seen.path or seen.targets is None:
        return None
    operation = seen.path[0]
    if seen.judge == "probabilities" and operation.name == "softmax":
        return _sums(subject, seen, operation)
    if not _compares_numbers(seen):
        return None
    if operation.name not in REACH:
        return None
    low, high = REACH[operation.name]
    share = seen.targets.outside(low, high)
    if share < OUT_OF_REACH:
        return _sums(subject, seen, operation) if operation.name == "softmax" else None
    known = seen.targets.values is not None or seen.targets.high < low or seen.targets.low > high
    place = place_of(subject, seen, operation)
    tried = _tried(subject, seen, place, seen.targets)
    found = tried.severity(without_proof="error" if (share >= LARGELY and known) or tried.badly else "warning")
    reach = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} and more"
    kinds = _kinds(seen.targets) if seen.targets.class_numbers else ""
    advice, code = _free_output(seen.targets, operation, place)
    return Complaint(
        found,
        f"`{operation.name}` {text_of(place)} gives numbers from {reach}, but the targets lie between {seen.targets.low:.4g} and "
        f"{seen.targets.high:.4g}: {share:.0%} of them can never be reached.{kinds}",
        advice,
        code,
        where=where_of(place),
        evidence={"reach": [low, high], "targets": [seen.targets.low, seen.targets.high], "share_out_of_reach": share},
        contest=tried,
    )


def _sums(subject: Subject, seen: Judged, operation: Operation) -> Complaint | None:
    """Rows of targets that do not sum to 1, while those of a softmax always do."""
    targets = seen.targets
    if targets is None or targets.values is None or targets.values.dim() != 2 or operation.axis != 1:
        return None
    place = place_of(subject, seen, operation)
    columns = place.size if place is not None else None
    if columns is None or columns < 2:
        return None
    sums = targets.values.double().sum(1) * (columns if targets.values.shape[1] == 1 else 1)
    share = float(((sums - 1).abs() > 0.05).double().mean())
    if share < LARGELY:
        return None
    independent = targets.yes_or_no and targets.values.shape[1] == columns
    tried = contest(subject, seen, place, entropy_of_answers if independent else squared_error)
    several = ""
    if independent and float((sums > 1.5).double().mean()) >= LARGELY:
        tried = replace(tried, well=False)  # in a good order perhaps, and wrong all the same
        several = " No two of them can be above one half at once."
    return Complaint(
        tried.severity(without_proof="error"),
        f"The {columns} outputs go through `softmax` {text_of(place)} and so always sum to 1, but {share:.0%} of the rows of the "
        f"targets do not (they sum to {float(sums.min()):.3g} to {float(sums.max()):.3g}).{several}",
        (
            "Several answers may be yes at once, so each output needs its own yes or no: leave out the softmax and use "
            "BCEWithLogitsLoss."
            if independent
            else "Leave out the softmax."
        ),
        (
            "loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y.float())  # the model without softmax"
            if independent
            else "loss = torch.nn.functional.mse_loss(model(x), y)  # the model without softmax"
        ),
        where=where_of(place),
        evidence={"share_of_rows": share},
        contest=tried,
    )


def _compares_numbers(seen: Judged) -> bool:
    rates = seen.loss == "poisson_nll_loss" and not (seen.options or {}).get("log_input", True)
    return seen.judge == "numbers" or rates or seen.loss == "gaussian_nll_loss"


def _tried(subject: Subject, seen: Judged, place: Place | None, targets: Targets) -> Contest:
    """A copy without the operation; on scaled targets as well, where they are large."""
    if _large(targets) and targets.values is not None and not targets.integers:
        scaled = contest(subject, seen, place, standardized_error(targets.values))
        if scaled.text or scaled.well:
            return scaled
    return contest(subject, seen, place, None if place is not None and place.spot else squared_error)


def _large(targets: Targets) -> bool:
    return max(abs(targets.low), abs(targets.high)) > LARGE


def _free_output(targets: Targets, operation: Operation, place: Place | None) -> tuple[str, str]:
    if targets.class_numbers and targets.integers:
        return (
            (
                f"If these are classes, use {targets.classes} outputs and CrossEntropyLoss. If they are numbers, leave out "
                f"`{operation.name}`."
            ),
            "loss = torch.nn.functional.cross_entropy(model(x), y.long().flatten())",
        )
    text = f"Leave out `{operation.name}` behind the last layer"
    if _large(targets):
        text += ", and train on targets that are scaled to mean 0 and standard deviation 1"
    code = "model = torch.nn.Sequential(*list(model.children())[:-1])  # where it is the last module"
    if place is not None and place.module and "." not in place.module:
        code = (
            f"model.{place.module} = torch.nn.Identity()"
            if not place.module.isdigit()
            else (f"model[{place.module}] = torch.nn.Identity()")
        )
    if _large(targets):
        code += "\nmean, std = y_train.mean(0), y_train.std(0)\ny_train = (y_train - mean) / std  # to predict: model(x) * std + mean"
    return text + ".", code


def _kinds(targets: Targets) -> str:
    return f" They look like the numbers of {targets.classes} classes." if targets.distinct <= targets.classes else ""
