"""loss_terms: of what is the loss made, and does one part of it rule?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.checks.train.course import course_of
from nn_inspector.checks.train.distillation import ColdTeacher, cold_teacher
from nn_inspector.checks.train.unlearned_part import UnlearnedPart, unlearned_part
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import initial_state, isolated
from nn_inspector.experiments.summands import Summand, summands
from nn_inspector.history import Chart, Finding, Remedy, Run, curve
from nn_inspector.probes import without_penalty

INFO = CheckInfo(
    name="loss_terms",
    stage="train",
    kind="passive",
    question="If the loss has several parts, does each have its share?",
    why=(
        "A loss can be a sum: of tasks, of a penalty, of reconstruction and regularity. The gradient follows the part that changes "
        "most. If that is not the one that matters, the sum falls and looks well, and what matters is never learned."
    ),
    how=(
        "What is added to the loss before backward() is followed over time: it is a warning if it fell by half or more while the loss "
        "itself is still no better than chance. Where the whole loss can be computed on a copy, the size and the gradient of each "
        "part are shown, and one that is a hundred times as strong as another is mentioned. If a part that compares with targets "
        "was not learned, or by constant answers only, a copy is trained with less weight on the others. It is a warning if that "
        "halves it, and an error if it takes it to a third. A part with labels of its own that is multiplied with next to nothing is tried "
        "with a weight of 1. Of a teacher's answers that are softened by a temperature it is tried, "
        "judged by the validation data, whether the square of the temperature is missing as a factor."
    ),
    remedy="Give the part that rules a smaller factor, until the gradients of all parts are of about the same size.",
    sources=(
        "Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses (2018)",
        "CS231n, Neural Networks Part 3: regularization against data loss",
        "Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015): multiply by T squared",
    ),
    explains=(*NOT_LEARNING, "oscillation"),
)

FELL = 0.5
"""The part that is added fell by so much of itself: it is what the steps worked on."""

NOTHING = 0.1
"""The loss itself has come less than this share of the way from chance to the least possible one."""

RULES = 100.0
"""A gradient so many times as strong as another one leaves it no say."""


_NOTICED = 2.0
"""A factor that is worth a word."""


def look(subject: Subject) -> Finding:
    """Look at the parts."""
    run = subject.run
    subject.require_steps()
    added = added_part(run)
    ruled = _ruled(subject, added) if added is not None and added.fell >= FELL else None
    if ruled is not None and _is_of_weights(subject):
        return ruled
    parts = _parts(subject)
    proven = _proven(subject, parts) or ruled
    if proven is not None:
        return proven
    if len(parts) > 1:
        return _of_parts(parts)
    if added is None:
        return finding(INFO, "ok", "Nothing is added to the loss, as far as can be seen.")
    message = f"What is added to the loss went from {added.start:.3g} to {added.end:.3g}, and the loss from {added.loss_start:.3g} to {added.loss_end:.3g}."
    return finding(INFO, "ok", message, evidence=added.evidence)


def chart(result: Finding) -> Chart | None:
    """What is added, and the loss itself; or the trial."""
    if result.remedy is not None and result.remedy.tried is not None:
        return trial_chart(result)
    names = ("added", "loss")
    series = {name: curve(values) for name in names if isinstance(values := result.evidence.get(name), list)}
    return Chart("lines", "measured step", "loss", series) if series else None


@dataclass(frozen=True, slots=True)
class AddedPart:
    """What stands between the loss function's value and what backward() was called on.

    Attributes:
        start, end: at the first and the last steps.
        loss_start, loss_end: the loss function's value then.
        evidence: both over time.
    """

    start: float
    end: float
    loss_start: float
    loss_end: float
    evidence: dict[str, float | list[float]]

    @property
    def fell(self) -> float:
        """The share of itself by which it fell."""
        return 1 - self.end / self.start if self.start > 0 else 0.0


def added_part(run: Run) -> AddedPart | None:
    """The part that is added to the only loss function of the loop; None if there is none."""
    loss, objective = run.series("loss", "train"), run.series("objective", "train")
    if len(objective) < 10 or not len(loss):
        return None
    at = dict(zip(loss.steps.tolist(), loss.values.tolist(), strict=True))
    pairs = [
        (at[step], total)
        for step, total in zip(objective.steps.tolist(), objective.values.tolist(), strict=True)
        if step in at
    ]
    losses, totals = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0), np.zeros(0))
    added = totals - losses
    if len(added) < 10 or not np.isfinite(added).all() or not (added > 0).mean() > 0.9:
        return None
    start, end = _ends(added)
    loss_start, loss_end = _ends(losses)
    evidence: dict[str, float | list[float]] = {"added": added[-200:].tolist(), "loss": losses[-200:].tolist()}
    return AddedPart(start, end, loss_start, loss_end, evidence)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(np.median(values[:3])), float(np.median(values[-5:]))


def _ruled(subject: Subject, added: AddedPart) -> Finding | None:
    """The finding, if the loss itself learned nothing meanwhile."""
    try:
        course = course_of(subject)
    except InspectorError:
        return None
    if not (course.end < NOTHING and course.best < NOTHING) or added.start < NOTHING * added.loss_start:
        return None
    message = (
        f"No: what you add to the loss went from {added.start:.3g} to {added.end:.3g}, while the loss itself went from "
        f"{added.loss_start:.3g} to {added.loss_end:.3g}, no better than chance. The steps worked on what is added."
    )
    remedy = Remedy(
        "Multiply what you add with a factor ten to a hundred times smaller, and watch both parts.",
        "loss = loss_fn(model(x), y)\ntotal = loss + 0.01 * penalty\ninspector.log(penalty=penalty)",
    )
    return finding(INFO, "warning", message, evidence=added.evidence, remedy=remedy, where="loop")


def _is_of_weights(subject: Subject) -> bool:
    """Whether what is added is a penalty, of weights alone; `regularization_share` tries that."""
    tape = subject.training.tape
    return tape is None or len(without_penalty(tape).operations) < len(tape.operations)


def _proven(subject: Subject, parts: list[Summand]) -> Finding | None:
    """What short trainings with other weights have shown."""
    cold = cold_teacher(subject) if len(parts) > 1 else None
    if cold is not None:
        return _cold(cold)
    unlearned = unlearned_part(subject, parts)
    return _unlearned(unlearned) if unlearned is not None else None


def _unlearned(part: UnlearnedPart) -> Finding:
    if part.own_weight is not None:
        return _of_small_weight(part, part.own_weight)
    treated, without = part.trial.treated[-1], part.trial.without[-1]
    steps = part.trial.every * (len(part.trial.treated) - 1)
    constant = f" (the same answers for all items give {part.level:.3g})" if part.level < part.start else ""
    return finding(
        INFO,
        "error" if part.clear else "warning",
        f"No: {part.name} is a part of your loss and went from {part.start:.3g} to {part.now:.3g} only{constant}. On a copy, {steps} steps with "
        f"{part.factor:,.0f} times less weight on the other parts took it to {treated:.3g}, and with your weights to {without:.3g}.",
        evidence={"start": part.start, "now": part.now, "factor": part.factor},
        remedy=Remedy(
            f"Give the other parts less weight, or {part.name} more, until the gradients of all are of about the same size. "
            "Take the mean in all parts or the sum in all, and scale targets to a standard deviation of 1.",
            f"loss = first + second / {part.factor:.0f}  # the part that rules is divided",
            part.trial,
        ),
        where="loop",
        basis="experiment",
    )


def _of_small_weight(part: UnlearnedPart, weight: float) -> Finding:
    treated, without = part.trial.treated[-1], part.trial.without[-1]
    steps = part.trial.every * (len(part.trial.treated) - 1)
    others = f" and {part.factor:,.0f} times less on the others" if part.factor > _NOTICED else ""
    return finding(
        INFO,
        "warning",
        f"No: {part.name.removeprefix('mul of ')} has labels of its own, but a weight of {weight:.2g} in your loss, and "
        f"was not learned: it went from {part.start / weight:.3g} to {part.now / weight:.3g}. On a copy, {steps} steps with a weight of 1{others} took it to "
        f"{treated / weight:.3g}, and with yours to {without / weight:.3g}.",
        evidence={"start": part.start, "now": part.now, "weight": weight},
        remedy=Remedy(
            "Give it more weight, until the gradients of all parts are of about the same size. If you do not need what it teaches, "
            "leave it out.",
            f"loss = first + 1.0 * second  # now {weight:.2g} * second",
            part.trial,
        ),
        where="loop",
        basis="experiment",
    )


def _cold(cold: ColdTeacher) -> Finding:
    treated, without = (f"{1 - left[-1]:.0%}" for left in (cold.trial.treated, cold.trial.without))
    steps = cold.trial.every * (len(cold.trial.treated) - 1)
    return finding(
        INFO,
        "error" if cold.badly else "warning",
        f"No: the teacher's answers are softened by a temperature of {cold.temperature:.3g}, which makes their gradient about "
        f"{cold.temperature**2:,.0f} times weaker: it has {cold.share:.2g} times that of the labels. On a copy, {steps} steps with the "
        f"square of the temperature as a factor learned {treated} of the validation data, and without it {without}.",
        evidence={"temperature": cold.temperature, "share": cold.share, "left_of_validation": cold.now},
        remedy=Remedy(
            "Multiply the part that compares with the teacher by the square of the temperature.",
            "loss = alpha * soft * T ** 2 + (1 - alpha) * hard  # T: the temperature",
            cold.trial,
        ),
        where="loop",
        basis="experiment",
    )


def _parts(subject: Subject) -> list[Summand]:
    if subject.seconds <= 0:
        return []
    try:
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            return summands(copied, subject.moments()[0])
    except ExperimentError:
        return []


def _of_parts(parts: list[Summand]) -> Finding:
    said = "; ".join(f"{part.name}: {part.value:.3g} with a gradient of {part.gradient:.2g}" for part in parts)
    evidence: dict[str, float | list[float]] = {
        "values": [part.value for part in parts],
        "gradients": [part.gradient for part in parts],
    }
    moving = [part.gradient for part in parts if part.gradient > 0 and math.isfinite(part.gradient)]
    silent = [part.name for part in parts if part.gradient == 0]
    if len(moving) > 1 and max(moving) > RULES * min(moving):
        message = (
            f"At the first weights one part is {max(moving) / min(moving):.0f} times as strong as another: {said}."
        )
        return finding(INFO, "info", message, evidence=evidence)
    if silent:
        message = f"{', '.join(silent)} brings no gradient to what is trained: {said}."
        return finding(INFO, "info", message, evidence=evidence)
    return finding(INFO, "ok", f"Yes. At the first weights: {said}.", evidence=evidence)


CHECK = Check(INFO, look, chart)
