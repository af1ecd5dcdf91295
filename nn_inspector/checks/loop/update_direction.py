"""update_direction: does a small step along the update lower the loss?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.judging.reading import judged
from nn_inspector.checks.loop.costs import is_cost
from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.checks.loop.rewards import lowered_reward
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.experiments import (
    BatchSource,
    TrainingCopy,
    compare,
    initial_state,
    isolated,
    preserved_random_state,
    train,
)
from nn_inspector.history import Basis, Finding, Remedy, Run, Severity, Trial

INFO = CheckInfo(
    name="update_direction",
    stage="loop",
    kind="active",
    question="Does a small step along the update lower the loss?",
    why=(
        "Training goes down the gradient. A loss or a gradient with the wrong sign, maximize=True or a negative learning rate "
        "goes up instead: the better the optimizer works, the worse the network gets."
    ),
    how=(
        "The first step of your own loop is known by the weights before and after it. On a copy, the loss is taken a small "
        "way along this step and the same way against it, on several batches. It is an error if the loss rises along it on "
        "nearly all of them, or the loop turns the sign around, and the loss of your run has risen as well. It is a warning "
        "if a reward is minimized: log-probability times reward, as they are called in the loop, without a minus."
    ),
    remedy="Take the minus away: minimize the loss itself, with maximize=False and a positive learning rate.",
    sources=(
        "Braiek and Khomh, TheDeepChecker (2022): flipped gradients",
        "PyTorch documentation: torch.optim, maximize",
    ),
    explains=OF_THE_LOOP,
)

CLEAR = 0.85
"""The loss must rise along the step on so large a share of the batches. Of a sound first step it falls on most."""

RISEN = 0.1
"""The loss has risen if it ends higher by this share of its first value."""

_BATCHES = 8
_RELATIVE = 1e-3
"""So far the copy goes along the step, relative to the weights, if the step was not smaller itself."""

_TRIAL_STEPS = 60


@dataclass(frozen=True, slots=True)
class Slope:
    """How the loss changes along the first step.

    Attributes:
        along, against: mean change of the loss after a small way.
        rising: share of batches on which it rises along the step and falls against it.
        falling: the reverse.
    """

    along: float
    against: float
    rising: float
    falling: float


def look(subject: Subject) -> Finding:
    """Go a small way along the first step on a copy, and read whether the loop turns a sign around."""
    run, training = subject.run, subject.training
    if not run.steps or not training.optimizers:
        raise InspectorError(
            "No step of an optimizer was seen yet. Run your training loop for a moment, then look again."
        )
    unrewarded = _unrewarded(subject)
    if unrewarded is not None:
        return unrewarded
    turned = turned_around(subject)
    rise = None if training.makes_its_data else has_risen(run)  # of other data than at first it tells nothing
    slope, reason = _slope_or_reason(subject)
    evidence: dict[str, float | list[float]] = {"risen": float(rise is True)}
    if slope is not None:
        evidence |= {"along": slope.along, "against": slope.against, "rising_share": slope.rising}
    uphill = slope is not None and slope.rising >= CLEAR
    severity = rule(uphill=uphill, turned=turned is not None, risen=rise)
    if severity == "error" and _maximizes_another_thing(subject):
        severity = "info"
    if severity == "ok" and slope is None:
        raise InspectorError(reason or "The direction of the first step is not known.")
    if severity == "ok" and slope is not None:
        down = f"Yes: along the first step the loss falls on {slope.falling:.0%} of the batches."
        unclear = "Nothing is turned around; along the first step the loss does not clearly fall or rise."
        return finding(INFO, "ok", down if slope.falling > 0.5 else unclear, evidence=evidence, basis="experiment")
    how, where = turned or ("", "optimizer")
    basis: Basis = "experiment" if uphill else "structure"
    parts = (
        [f"along the first step of your loop the loss rises, on {slope.rising:.0%} of the batches"]
        if uphill and slope
        else []
    )
    parts += [how] if how else []
    parts += ["the loss of your run has risen"] if rise else []
    start = "No: " if severity == "error" else "Perhaps it goes up on purpose: "
    remedy = Remedy(
        "Take the wrong sign away.",
        "loss = loss_fn(model(x), y)  # no minus\noptimizer.zero_grad()\nloss.backward()\noptimizer.step()",
        _try_downwards(subject) if severity == "error" else None,
    )
    message = f"{start}{'; '.join(parts)}."
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where=where, basis=basis)


def _unrewarded(subject: Subject) -> Finding | None:
    where = lowered_reward(loop_of(subject))
    if where is None or turned_around(subject) is not None:
        return None
    return finding(
        INFO,
        "warning",
        "No: backward() is called on log-probability times reward. The step makes that smaller, so that actions become "
        "less likely, the more they are rewarded.",
        remedy=Remedy(
            "Minimize the negative of it.", "loss = -(dist.log_prob(action) * advantage).mean()\nloss.backward()"
        ),
        where=where,
        basis="structure",
    )


def rule(*, uphill: bool, turned: bool, risen: bool | None) -> Severity:
    """What is said of a first step that goes up on a copy, of a sign that is turned around, and of a loss that has risen.

    Example:
        >>> rule(uphill=True, turned=False, risen=True), rule(uphill=False, turned=True, risen=False)
        ('error', 'info')
    """
    if risen and (uphill or turned):
        return "error"
    return "info" if turned or uphill else "ok"


def has_risen(run: Run) -> bool | None:
    """Whether the loss ended clearly higher than it began; None where it was not seen."""
    values = run.series("loss", "train").values
    if len(values) < 4:
        return None
    late = values[-max(1, len(values) // 5) :]
    if not np.isfinite(late).all():
        return True
    first = float(np.median(values[: max(1, min(3, len(values) // 5))]))
    return bool(np.median(late) > first + RISEN * abs(first))


def turned_around(subject: Subject) -> tuple[str, str] | None:
    """What turns the direction around, in words, and where; None if nothing does, or twice."""
    found: list[tuple[str, str]] = []
    reading = loop_of(subject)
    groups = [group for optimizer in subject.training.optimizers for group in optimizer.param_groups]
    if groups and all(group.get("maximize") for group in groups):
        found.append(("the optimizer has maximize=True", reading.place("optimizer") or "optimizer"))
    if any(float(group.get("lr") or 0.0) < 0 for group in groups):
        found.append(("a learning rate is below 0", reading.place("optimizer") or "optimizer"))
    if _is_negated(subject.run, reading):
        found.append(("backward() is called on the negative of the loss", reading.place("backward") or "loss"))
    found += [
        ("gradients are turned around", event.place) for event in reading.of("gradient") if event.options["negated"]
    ]
    found += [("weights move along the gradient", e.place) for e in reading.of("weights") if e.options.get("ascent")]
    return found[0] if len(found) % 2 else None


def _maximizes_another_thing(subject: Subject) -> bool:
    """Whether maximize=True is set for what is no cost, as far as is known: a likelihood or a reward may well rise."""
    groups = [group for optimizer in subject.training.optimizers for group in optimizer.param_groups]
    if not groups or not all(group.get("maximize") for group in groups):
        return False
    try:
        known = any(seen.loss or seen.judge not in ("other", "logarithm") for seen in judged(subject))
    except InspectorError:
        known = False
    return not known and not _minimizes_logarithms(subject)


def _minimizes_logarithms(subject: Subject) -> bool:
    if subject.seconds <= 0:
        return False
    try:
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            return is_cost(copied.loss(subject.moments(1)[0]))
    except ExperimentError:
        return False


def _is_negated(run: Run, reading: Reading) -> bool:
    signs = [entry.facts.get("sign") for entry in run.trace if entry.call == "backward" and "sign" in entry.facts]
    if signs:
        return all(sign == -1 for sign in signs)
    backward: list[Event] = reading.of("backward")
    terms = [term for event in backward for term in event.terms]
    return bool(terms) and all(term.is_loss and term.sign < 0 for term in terms)


def _slope_or_reason(subject: Subject) -> tuple[Slope | None, str | None]:
    if len(subject.training.optimizers) > 1:
        return None, "Several optimizers step this training, perhaps against each other: one direction is not expected."
    try:
        return slope_of(subject), None
    except ExperimentError as error:
        return None, str(error)


def slope_of(subject: Subject) -> Slope:
    """The change of the loss along the first step of the loop, on copies.

    Raises:
        ExperimentError: the first step or the loss is not known, or there is no time.
    """
    training = subject.training
    before, after = training.initial, training.after_first_step
    if subject.seconds <= 0:
        raise ExperimentError("This check makes an experiment, and there is no time left for one.")
    if before is None or after is None:
        raise ExperimentError("The weights before and after the first step are not known.")
    names = [name for name, _ in training.model.named_parameters() if name in before and name in after]
    step = {name: (after[name] - before[name]).to(torch.float32) for name in names}
    size = math.sqrt(sum(float(part.square().sum()) for part in step.values()))
    weights = math.sqrt(sum(float(before[name].to(torch.float32).square().sum()) for name in names))
    if not math.isfinite(size) or size == 0:
        raise ExperimentError("The first step changed no weight, or not to finite numbers.")
    factor = min(1.0, _RELATIVE * max(weights, 1.0) / size)
    batches = subject.moments(_BATCHES)
    with isolated(training, start=initial_state(training, subject.run)) as copied:
        losses = [_losses(copied, batches, step, way * factor) for way in (0.0, 1.0, -1.0)]
    here, along, against = (np.asarray(one) for one in losses)
    if not np.isfinite([here, along, against]).all():
        raise ExperimentError("The loss is not finite near the first weights.")
    return Slope(
        along=float((along - here).mean()),
        against=float((against - here).mean()),
        rising=float(((along > here) & (against < here)).mean()),
        falling=float(((along < here) & (against > here)).mean()),
    )


@torch.no_grad()
def _losses(
    copied: TrainingCopy, batches: Sequence[object], step: Mapping[str, torch.Tensor], way: float
) -> list[float]:
    """The loss on each batch so far along the step, with the same dropout each time; the weights are put back."""
    parameters = dict(copied.model.named_parameters())
    held = {name: parameters[name].clone() for name in step}
    copied.train_mode()
    try:
        for name, part in step.items():
            parameters[name].add_(part.to(parameters[name]), alpha=way)
        losses = []
        for index, batch in enumerate(batches):
            with preserved_random_state(index):
                losses.append(float(copied.loss(batch)))
        return losses
    finally:
        for name, value in held.items():
            parameters[name].copy_(value)


def _try_downwards(subject: Subject) -> Trial | None:
    """The loss of your own first steps, beside that of a copy which takes as many down the gradient."""
    training, seen = subject.training, subject.run.series("loss", "train").values[:_TRIAL_STEPS]
    if subject.seconds <= 0 or len(seen) < 2:
        return None
    try:
        batches, _ = BatchSource(training.data, seconds=subject.seconds / 3).for_training(len(seen))
        with isolated(training, start=initial_state(training, subject.run)) as copied:
            for optimizer in copied.optimizers:
                for group in optimizer.param_groups:
                    group["maximize"] = False
                    if group.get("lr") is not None:
                        group["lr"] = abs(group["lr"])
            treated = train(copied, batches, steps=len(seen), deadline=time.monotonic() + subject.seconds / 2)
    except ExperimentError:
        return None
    return compare([float(value) for value in seen], treated)


CHECK = Check(INFO, look, trial_chart)
