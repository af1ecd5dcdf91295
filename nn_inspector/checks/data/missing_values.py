"""missing_values: is there anything missing in the data, or marked as such?"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.inputs_seen import InputsSeen, change_input, inputs_seen
from nn_inspector.checks.data.marked_targets import MarkedTargets, marked_targets
from nn_inspector.checks.data.marks import FarNumber, far_number
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.nonfinite_data import SpoiledData, count_spoiled
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Finding, Remedy

INFO = CheckInfo(
    name="missing_values",
    stage="data",
    kind="active",
    question="Is there anything missing in the data, or marked as such?",
    why=(
        "One NaN among the inputs makes the loss of its whole batch NaN, and after the next step every weight. A number such "
        "as -999 that stands for a missing one is no better: it is taken for a measurement, and rules its column."
    ),
    how=(
        "Training and validation data are read for a few seconds. NaN and Inf are counted, in inputs and targets. It is an "
        "error if there are any and the loss of your training was lost, and a remark if the training bears them. A number far "
        "from all others that comes again and again in a column may stand for a missing one, in scaled columns as well: a "
        "copy is trained with such places filled in and the column scaled anew. So it is with the targets of a regression. "
        "It is an error if that copy gets much further than your training did, and else a remark."
    ),
    remedy="Leave such items out, or fill in the mean of the column and add a column that says where it was missing.",
    sources=(
        "Little and Rubin, Statistical Analysis with Missing Data (2002), 1.2: patterns and marks of missing values",
        "scikit-learn documentation: imputation of missing values",
    ),
    explains=(
        *ALL_SYMPTOMS, "initial_loss", "input_scale", "learning_rate", "generalization_gap", "metric_match", "target_scale",
        "output_bias", "loss_reduction",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """A number in a column of the inputs that probably stands for a missing one.

    Attributes:
        table: the input.
        column: in which column, counted from 0.
        number: the number, and how many of the items, or of the times of series, have it.
    """

    table: InputsSeen
    column: int
    number: FarNumber


def look(subject: Subject) -> Finding:
    """Count what is not finite, and look for numbers that mark what is missing."""
    if subject.seconds <= 0:
        raise ExperimentError("This check reads your data, and there is no time left for that.")
    train = count_spoiled(subject.training.train_loader)
    if train.inputs or train.targets:
        return _spoiled(subject, train)
    with contextlib.suppress(ExperimentError):
        apart = count_spoiled(subject.training.val_loader)
        if apart.inputs or apart.targets:
            message = f"In the validation data, {apart.text}: the validation loss will be NaN."
            evidence = {"inputs": float(apart.inputs), "targets": float(apart.targets)}
            return finding(
                INFO, "info", message, evidence=evidence, remedy=apart.remedy, where="val_loader", basis="structure"
            )
    marks = list(_marks(subject))
    if marks:
        return _marked(subject, marks)
    targets = marked_targets(subject)
    if targets is not None:
        return _marked_targets(targets)
    return finding(INFO, "ok", f"No: all of {train.items:,} items that were looked at are finite.", basis="structure")


def _spoiled(subject: Subject, found: SpoiledData) -> Finding:
    lost = LossCurve.of(subject.run).lost or not all(
        bool(torch.isfinite(parameter).all()) for parameter in subject.training.model.parameters()
    )
    return finding(
        INFO,
        "error" if lost else "info",
        f"Yes: {found.text}. "
        + ("The loss was lost, and this is why." if lost else "Your training has not been lost by them so far."),
        evidence={"inputs": float(found.inputs), "targets": float(found.targets), "items": float(found.items)},
        remedy=found.remedy,
        where="train_loader",
        basis="structure",
    )


def _marked(subject: Subject, marks: list[Mark]) -> Finding:
    tried = race(subject, lambda copied: _fill(copied, marks))
    severity = tried.severity if tried is not None else "info"
    first = marks[0]
    more = {1: "", 2: ", and one more column has such a number"}.get(
        len(marks), f", and {len(marks) - 1} more columns have such a number"
    )
    of = "items" if first.table.dims == 2 else "times of all series"
    said = (
        f"{first.number.share:.1%} of the {of} have {first.number.value:g} in column {first.column} of {first.table.name or 'the inputs'}, far from all "
        f"others{more}. "
    )
    return finding(
        INFO,
        severity,
        f"Perhaps: {said}Does it stand for a missing one?"
        if tried is None or severity == "info"
        else f"Yes: {said}It seems to stand for a missing one. {tried.text}",
        evidence={"column": float(first.column), "mark": first.number.value, "share": first.number.share},
        remedy=Remedy(
            "Fill in the mean of the other items there, and scale the column after that.",
            f"column = x_train.select({first.table.axis}, {first.column})  # a view\n"
            f"missing = torch.isclose(column, torch.tensor({first.number.value:g}))\n"
            "column[missing] = column[~missing].mean()",
            tried.trial if tried is not None else None,
        ),
        where="train_loader",
        basis="statistics" if severity == "info" else "experiment",
    )


def _marked_targets(found: MarkedTargets) -> Finding:
    first, tried = found.first, found.tried
    of = "targets" if found.column is None else f"targets in column {found.column}"
    more = "" if not found.others else f", and {found.others} more of their columns have such a number"
    said = f"{first.share:.1%} of the {of} are {first.value:g}, far from all others{more}. "
    proven = tried is not None and tried.severity != "info"
    return finding(
        INFO,
        tried.severity if tried is not None else "info",
        f"Yes: {said}It seems to stand for a missing one, and is learned as if it had been measured. {tried.text}"
        if tried is not None and proven
        else f"Perhaps: {said}Does it stand for a missing one?",
        evidence={"mark": first.value, "share": first.share},
        remedy=Remedy(
            "Leave such items out, or count the others alone in the loss. Scale the targets after that.",
            f"known = ~torch.isclose(y, torch.tensor({first.value:g}))\nloss = ((model(x) - y)[known] ** 2).mean()  # or x, y = x[known], y[known]",
            tried.trial if tried is not None else None,
        ),
        where="train_loader",
        basis="experiment" if proven else "statistics",
    )


def _fill(copied: TrainingCopy, marks: list[Mark]) -> None:
    """Fill in the mean where a number is missing, and scale those columns anew, in the tables that a copy is given."""
    for table in dict.fromkeys(mark.table for mark in marks):
        of_table = [mark for mark in marks if mark.table is table]
        change_input(table, copied, functools.partial(_filled, marks=of_table))


def _filled(table: torch.Tensor, marks: list[Mark]) -> torch.Tensor:
    table = table.clone()
    for mark in marks:
        axis = mark.table.axis
        if mark.column < table.shape[axis]:
            column = table.select(axis, mark.column)
            number = mark.number
            known = torch.where(column == number.value, torch.full_like(column, number.mean), column)
            column.copy_((known - number.mean) / number.spread)
    return table


def _marks(subject: Subject) -> Iterator[Mark]:
    """Of tables and of the channels of series: in images a number may come again."""
    try:
        tables = [seen for seen in inputs_seen(subject) if seen.dims in (2, 3) and seen.axis and not seen.where]
    except ExperimentError:
        return
    for table in tables:
        yield from _marks_in(table)


def _marks_in(table: InputsSeen) -> Iterator[Mark]:
    for column, values in enumerate(table.values.cpu().T):
        number = far_number(values)
        if number is not None:
            yield Mark(table, column, number)


CHECK = Check(INFO, look)
