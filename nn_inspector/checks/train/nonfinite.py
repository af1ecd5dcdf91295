"""nonfinite: was anything NaN or infinite, and where did it begin?"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.nonfinite_calls import RiskyCall, calling_line, risky_call
from nn_inspector.checks.train.nonfinite_data import spoiled_data
from nn_inspector.checks.train.nonfinite_remedy import UNDEFINED, advice
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import BatchSource, initial_state, isolated
from nn_inspector.experiments.first_nonfinite import FirstNonfinite, find_first_nonfinite
from nn_inspector.history import Basis, Chart, Evidence, Finding, Nonfinite, Run, curve

INFO = CheckInfo(
    name="nonfinite",
    stage="train",
    kind="passive",
    question="Was anything NaN or infinite, and where did it begin?",
    why=(
        "NaN means that a number does not exist, such as 0/0 or the logarithm of -1; Inf is one too large to be held. One of "
        "them in a gradient spoils every weight at the next step, and nothing is learned from then on. Only the first one is "
        "the cause: all that follow come from it."
    ),
    how=(
        "Data, weights, outputs of layers, loss and gradients are looked at in this order; the first that is not finite is "
        "named. Where the loss is known, a copy is trained up to that point, to name the operation and its line. It is an error "
        "if weights or loss are lost at the end. A gradient scaler that skips steps with infinite gradients is right."
    ),
    remedy=(
        "Clean the data; keep logarithms, roots and divisors away from 0 with a small number; use the loss functions that take "
        "logits; lower the rate or clip the gradient if the loss grew first."
    ),
    sources=(
        "torch.autograd.detect_anomaly: the operation whose derivative is NaN",
        "TheDeepChecker (Braiek and Khomh, 2022): NaN and Inf in losses, weights and gradients",
    ),
    explains=(*ALL_SYMPTOMS, "learning_rate"),
)

GREW = 10.0
"""A loss that was so many times its first value before it was lost has blown up: an operation alone does not do that."""

OFTEN = 0.05
"""From this share of the steps on, losses that are not finite are worth a warning even if the training survives them."""

_SHARE_OF_TIME = 0.5
_MOST_STEPS = 400
_SHOWN = 200


def look(subject: Subject) -> Finding:
    """Say what was lost and where that began."""
    run = subject.run
    subject.require_steps()
    seen, found = LossCurve.of(run), run.nonfinite
    spoiled = _spoiled_weights(subject)
    if found is None and not spoiled:
        return finding(INFO, "ok", "No: all losses, weights, gradients and outputs that were measured are finite.")
    lost = [name for name, gone in (("the loss is NaN or Inf", seen.lost), (spoiled, bool(spoiled))) if gone]
    evidence = _evidence(seen, found)
    if not lost:
        return _survived(run, found, evidence)
    return _lost(subject, lost, found, seen, evidence)


def chart(result: Finding) -> Chart | None:
    """The loss up to where it was lost."""
    losses = result.evidence.get("loss_before")
    if not isinstance(losses, list) or not losses:
        return None
    return Chart("lines", "step", "loss", {"loss": curve(losses)})


def _spoiled_weights(subject: Subject) -> str:
    """What is wrong with the weights as they are now, in words; empty if they are finite."""
    named = [(name, p) for name, p in subject.training.model.named_parameters() if not p.is_meta]
    names = [name for name, p in named if not bool(torch.isfinite(p.detach()).all())]
    if not names:
        return ""
    return "all weights hold NaN or Inf" if len(names) == len(named) else f"weights hold NaN or Inf ({names[0]})"


def _evidence(seen: LossCurve, found: Nonfinite | None) -> Evidence:
    wrong = np.flatnonzero(~np.isfinite(seen.losses))
    before = seen.losses[: wrong[0]] if len(wrong) else seen.losses
    numbers: dict[str, float | list[float]] = {"loss_before": before[-_SHOWN:].tolist()}
    if found is not None:
        numbers["step"] = float(found.step)
    return numbers


def _survived(run: Run, found: Nonfinite | None, evidence: Evidence) -> Finding:
    """Something was not finite, and the training went on."""
    assert found is not None, "nothing is lost, so something was found"
    where = _said(found)
    scaled = any(entry.call == "unscale" for entry in list(run.trace))
    if scaled and found.where in ("gradient", "backward"):
        message = f"Only {where}: a gradient scaler skips such steps and lowers its scale, which is as it should be."
        return finding(INFO, "ok", message, evidence=evidence)
    losses = run.series("loss", "train").values
    share = float((~np.isfinite(losses)).mean()) if len(losses) else 0.0
    if found.where == "forward" and share == 0:
        message = f"Only {where}, and never the loss or a weight: a mask may be made of such values on purpose."
        return finding(INFO, "ok", message, evidence=evidence)
    was = "were" if found.where == "weight" else "was"
    message = (
        f"{where.capitalize()} {was} not finite in step {found.step}; the loss and the weights are finite at the end."
    )
    if share < OFTEN:
        return finding(INFO, "info", message, evidence=evidence, where=_place(found), basis="structure")
    message = f"Yes, in {share:.0%} of the steps: {message} These steps teach nothing."
    remedy = advice(None, grew=False)
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=_place(found), basis="structure")


def _lost(
    subject: Subject, lost: Sequence[str], found: Nonfinite | None, seen: LossCurve, evidence: Evidence
) -> Finding:
    basis: Basis = "structure"
    happened = f"Yes: {' and '.join(lost)}."
    began = f" It began {_when(subject.run, found)} with {_said(found)}." if found is not None else ""
    data, grew, where = spoiled_data(subject), _grew(seen), _place(found)
    if data is not None:
        message, where, remedy = (
            f"{happened} The data hold it already: {data.text}.{began}",
            "train_loader",
            data.remedy,
        )
    elif grew:
        message = (
            f"{happened}{began} The loss had grown before, from {seen.start:.3g} to {_highest(seen):.3g}: it blew up."
        )
        remedy = advice(None, grew=True)
    elif (origin := _replayed(subject, found)) is not None:
        where = origin.line or calling_line(subject, origin.operation) or where
        when = f"{_when(subject.run, found)} " if found is not None else ""
        message = f"{happened} {_said_of(origin, where, when)}"
        remedy = advice(origin.operation, grew=False)
        basis = "experiment" if origin.operation in UNDEFINED else basis
    else:
        call = risky_call(subject) if found is not None and found.where == "loss" else None
        message, where = happened + began + _said_of_call(call), (call.place if call is not None else None) or where
        remedy = advice(call.name if call is not None else None, grew=False)
    return finding(INFO, "error", message, evidence=evidence, remedy=remedy, where=where, basis=basis)


def _replayed(subject: Subject, found: Nonfinite | None) -> FirstNonfinite | None:
    """The operation, if a copy that is trained from the first weights gets there too."""
    if subject.seconds <= 0 or not subject.training.optimizers:
        return None
    steps = min(max(2 * found.step if found is not None else 0, 20), _MOST_STEPS)
    budget = _SHARE_OF_TIME * subject.seconds
    try:
        batches = BatchSource(subject.training.data, seconds=budget / 2).as_loaded(steps)
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            return find_first_nonfinite(copied, batches, steps=steps, deadline=time.monotonic() + budget / 2)
    except ExperimentError:
        return None


def _grew(seen: LossCurve) -> bool:
    start, high = seen.start, _highest(seen)
    return math.isfinite(start) and start > 0 and high > GREW * start


def _highest(seen: LossCurve) -> float:
    """The largest finite loss of the steps just before the loss was lost."""
    finite = seen.losses[np.isfinite(seen.losses)][-20:]
    return float(finite.max()) if len(finite) else math.nan


def _said(found: Nonfinite) -> str:
    return {
        "forward": f"the output of {found.source!r}",
        "loss": "the loss",
        "backward": f"the gradient at the output of {found.source!r}",
        "gradient": f"the gradient of {found.source!r}",
        "weight": f"the weights {found.source!r}",
    }[found.where]


def _said_of(origin: FirstNonfinite, where: str | None, when: str) -> str:
    place = f" ({where.partition(':')[0]})" if where and "line" in where else ""
    if origin.where == "forward":
        return f"It began {when}with {origin.operation}{place}: what it was given is finite, what it made is not."
    return (
        f"It began {when}with the gradient: the derivative of {origin.operation}{place} is not finite, though the loss was "
        f"{origin.loss:.3g}."
    )


def _said_of_call(call: RiskyCall | None) -> str:
    if call is None:
        return ""
    place = f" ({call.place})" if call.place else ""
    return f" What the model returns goes through {call.name}(){place}, which can do that."


def _when(run: Run, found: Nonfinite) -> str:
    """The step, and the batch of its epoch where every batch makes a step."""
    begun = [epoch for epoch in run.epochs("train") if epoch.first_step <= found.step]
    epoch = max(begun, key=lambda one: one.first_step, default=None)
    batch = found.step - epoch.first_step if epoch is not None else -1
    known = epoch is not None and 0 <= batch < epoch.batches
    return f"in step {found.step}" + (f" (epoch {epoch.number + 1}, batch {batch + 1})" if known and epoch else "")


def _place(found: Nonfinite | None) -> str | None:
    return None if found is None or found.where == "loss" else found.source


CHECK = Check(INFO, look, chart)
