"""constant_predictions: the same answer for every input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.answers import Answers, answers, of_output
from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.relation import of_answers
from nn_inspector.checks.train.course import course_of
from nn_inspector.errors import ExperimentError, InspectorError, describe_error
from nn_inspector.experiments import TrainingCopy, isolated, tensors_of
from nn_inspector.history import Finding, Remedy
from nn_inspector.probes import first_tensor, label_parts
from nn_inspector.training import split_batch

INFO = CheckInfo(
    name="constant_predictions",
    stage="train",
    kind="passive",
    question="Does the network answer the same whatever it is given?",
    why=(
        "The best answer that needs no input is the most frequent class or the mean of the targets. A network that says that for "
        "everything has found out nothing about its inputs, or they no longer reach its output. The accuracy can still look fine."
    ),
    how=(
        "A copy with the present weights answers for items of the training data, in evaluation mode. It is a warning if one class "
        "is predicted for 90 % of them where it is right for 60 % at most; or if numbers and scores hardly differ from item to "
        "item, by less than 2 % of what the targets do. A training that has come far is not asked."
    ),
    remedy="Look at dead units, saturation, the output layer and the scale of inputs; try a lower rate.",
    sources=(
        "UMLAUT and TheDeepChecker: constant predictions; one class above 90 % had no false alarm on sound trainings",
        "A thread on an LSTM that repeats one output",
    ),
    explains=("no_learning",),
)

SAME = 0.9
RIGHT = 0.6
"""One class is predicted for so many of the items, and is right for no more than so many."""

HARDLY = 0.02
"""Spread of the predictions over that of the targets; sound trainings have 0.07 and more."""

LEARNED = 0.4
"""A training that has come so far from chance to the least possible loss does not answer the same for everything."""

_LEAST_ITEMS = 24
_OTHER_UNITS = frozenset({"poisson_nll_loss", "gaussian_nll_loss"})


_RELATED = 0.5
"""Numbers whose order goes with that of the labels so far, see `relation`, are not the same for all."""


def look(subject: Subject) -> Finding:
    """Ask a copy."""
    course = course_of(subject)
    if course.end >= LEARNED:
        return finding(INFO, "ok", f"No: {course.end:.0%} of the way from chance to the least possible loss is done.")
    if course.curve.lost:
        raise InspectorError("The loss is NaN or infinite: the network gives no answers any more.")
    said = _answers(subject)
    if said.kind == "numbers" and any(entry.call in _OTHER_UNITS for entry in list(subject.run.trace)):
        raise InspectorError(
            "The network does not predict the targets themselves, but their logarithm or their spread as well."
        )
    sameness = measure(said)
    if sameness.constant and course.levels is None and of_answers(said).holds(_RELATED):
        message = "No: the answers go with the labels, though in another scale than theirs."
        return finding(INFO, "ok", message, evidence=sameness.evidence)
    if sameness.constant:
        remedy = Remedy(
            "Look at the causes named beside it. If there are none, see whether the layers still pass something on.",
            'for name in ("dead_units", "saturation", "output_layer", "input_scale"):\n    print(inspector.check(name))',
        )
        message = f"Yes: {sameness.text}"
        return finding(INFO, "warning", message, evidence=sameness.evidence, remedy=remedy, basis="statistics")
    return finding(INFO, "ok", f"No: {sameness.text}", evidence=sameness.evidence)


@dataclass(frozen=True, slots=True)
class Sameness:
    """How alike the answers are.

    Attributes:
        constant: whether they are the same for (nearly) all, and should not be.
        text: that in words.
        evidence: that in numbers.
    """

    constant: bool
    text: str
    evidence: dict[str, float | list[float]]


def measure(said: Answers) -> Sameness:
    """How alike answers are, and how alike the right ones.

    Example:
        >>> measure(Answers("classes", torch.tensor([2, 2, 2, 2]), torch.tensor([0, 1, 2, 3]))).constant
        True
    """
    if said.kind == "classes":
        given, right = (
            float(part.unique(return_counts=True)[1].max()) / len(part) for part in (said.given, said.right)
        )
        most = float(said.given.mode().values)
        text = f"the class that is predicted most often is predicted for {given:.0%} of the items; the most frequent one has {right:.0%}."
        return Sameness(given >= SAME and right <= RIGHT, text, {"predicted": given, "right": right, "class": most})
    given, right = (float(part.float().std(0).mean()) for part in (said.given, said.right))
    ratio = given / right if right > 0 else float("inf")
    text = f"from item to item the predictions differ by {given:.2g}, and what they should be by {right:.2g}."
    return Sameness(ratio < HARDLY, text, {"prediction_spread": given, "target_spread": right})


def _answers(subject: Subject) -> Answers:
    if subject.seconds <= 0:
        raise ExperimentError("This check asks a copy of the network, and no experiments are allowed.")
    batches = subject.batches()
    if not any(map(_inputs_differ, batches)):
        raise InspectorError("All inputs are the same, so that all answers should be.")
    with isolated(subject.training) as copied:
        found = [one for one in (_answer(copied, batch) for batch in batches) if one is not None]
    if not found:
        raise InspectorError("What the network predicts, and what would be right, is not known.")
    together = Answers.together(found)
    if len(together.given) < _LEAST_ITEMS:
        raise InspectorError(f"There are only {len(together.given)} answers, which says nothing.")
    if not bool(torch.isfinite(together.given.float()).all()):
        raise InspectorError("Some predictions are NaN or infinite.")
    return together


def _answer(copied: TrainingCopy, batch: Any) -> Answers | None:
    """What the copy says for a batch; where its loss is not known, the classes that it returns the highest score for."""
    try:
        return answers(copied, batch)
    except ExperimentError:
        inputs, _ = split_batch(batch)
    copied.model.eval()
    try:
        with torch.no_grad():
            said = of_output(first_tensor(copied.model(*inputs)), batch, inputs)
    except Exception as error:
        raise ExperimentError(f"The model could not be called on a batch ({describe_error(error)}).") from error
    finally:
        copied.train_mode()
    return said if said is not None and said.kind == "classes" else None


def _inputs_differ(batch: Any) -> bool:
    """Whether the items of a batch differ in anything but their labels; True where that cannot be said."""
    labels = {id(tensor) for _, part in label_parts(batch) for tensor in tensors_of(part)}
    inputs = [tensor for tensor in tensors_of(batch) if id(tensor) not in labels and tensor.dim() and len(tensor) > 1]
    return not inputs or any(bool((tensor != tensor[:1]).any()) for tensor in inputs)


CHECK = Check(INFO, look)
