"""exploding_gradients: does the gradient grow without measure, or jump?"""

from __future__ import annotations

import numpy as np
import torch

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.loop.traced import clipped_to_nothing
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.checks.train.gradients_seen import GradientNorms, gradient_norms
from nn_inspector.checks.train.standstill import got_nowhere
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Chart, Evidence, Finding, Remedy, curve

INFO = CheckInfo(
    name="exploding_gradients",
    stage="train",
    kind="passive",
    question="Does the gradient grow without measure, or jump?",
    why=(
        "One step with a gradient a thousand times its usual size throws the weights far away, and what was learned is lost. "
        "Recurrent networks do that, and so do weights, targets or rates that are too large. Clipping the gradient limits the "
        "damage, and often is all that is needed."
    ),
    how=(
        "It looks at the norm of the whole gradient at the measured steps. It stands out if it is not a number, ends a hundred "
        "times above where it began, or was a hundred times its median. If the training did badly that is a warning, and an "
        "error if a copy whose gradient is clipped gets much further."
    ),
    remedy="Clip the gradient at what nine of ten steps stay below, lower the rate, and look at the scale of inputs and targets.",
    sources=(
        "Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks (2013)",
        "Goodfellow, Bengio and Courville, Deep Learning (2016), 10.11.1: clipping gradients",
    ),
    explains=(*NOT_LEARNING, "loss_spike", "divergence", "oscillation", "nonfinite", "update_ratio"),
)

FAR = 100.0
"""So many times the usual norm stands out: sound trainings reach 30 when a rare batch comes."""

GROWING = 10.0
"""A gradient that ends as NaN exploded if it had grown so much before."""

LEAST = 10
"""Measured steps; fewer have no usual norm."""

_FIRST = 5


def look(subject: Subject) -> Finding:
    """Look at the gradient over time, and clip it on a copy if it stands out."""
    seen = gradient_norms(subject.run)
    if len(seen.norms) < LEAST:
        raise InspectorError(f"The gradient was measured at {len(seen.norms)} steps; {LEAST} are needed.")
    evidence: Evidence = {"steps": seen.steps.astype(float).tolist(), "norms": seen.norms.tolist()}
    endless = clipped_to_nothing(subject.run)
    said = "its norm is infinite, so that clipping makes it zero and no step moves" if endless else stands_out(seen)
    usual = float(np.median(seen.norms[np.isfinite(seen.norms)])) if np.isfinite(seen.norms).any() else 0.0
    if said is None:
        return finding(
            INFO, "ok", f"No: its norm is {usual:.3g} usually, {seen.norms.max():.3g} at most.", evidence=evidence
        )
    if not got_nowhere(subject):
        message = f"It stands out: {said}. The training does not seem to suffer from it."
        return finding(INFO, "info", message, evidence=evidence)
    limit = _limit(seen)
    tried = race(subject, lambda copied: clip(copied, limit))
    remedy = Remedy(
        f"Clip the gradient at {limit:g}, and lower the rate.",
        f"torch.nn.utils.clip_grad_norm_(model.parameters(), {limit:g})  # between backward() and step()",
        tried.trial if tried is not None else None,
    )
    if tried is None or tried.severity == "info":
        message = f"Yes: {said}. The cause may lie elsewhere."
        return finding(INFO, "warning", message, evidence=evidence, remedy=remedy)
    message = f"Yes: {said}. The remedy is to clip it at {limit:g}. {tried.text}"
    return finding(INFO, tried.severity, message, evidence=evidence, remedy=remedy, basis="experiment")


def stands_out(seen: GradientNorms) -> str | None:
    """What is unusual about the norms, in a few words; None if nothing is."""
    lost = np.flatnonzero(~np.isfinite(seen.norms))
    if len(lost):
        before = seen.norms[: lost[0]]
        if len(before) < 2 or before[-1] < GROWING * before[0]:
            return None  # NaN all at once: `nonfinite` looks for where it came from
        return f"its norm went from {before[0]:.3g} to {before[-1]:.3g}, and was NaN or infinite at step {seen.steps[lost[0]]}"
    first, last = float(np.median(seen.norms[:_FIRST])), float(np.median(seen.norms[-_FIRST:]))
    if first > 0 and last > FAR * first:
        return f"its norm went from {first:.3g} to {last:.3g}"
    usual, place = float(np.median(seen.norms)), int(seen.norms.argmax())
    least = usual if place >= _FIRST else max(usual, float(seen.norms[0]))  # a first gradient may be large
    if least > 0 and place > 0 and seen.norms[place] > FAR * least:
        return f"its norm is {usual:.3g} usually, and was {seen.norms[place]:.3g} at step {seen.steps[place]}"
    return None


def clip(copied: TrainingCopy, limit: float) -> None:
    """From now on clip the gradient of a copy before each step."""

    def clipped(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], limit)

    for optimizer in copied.optimizers:
        optimizer.register_step_pre_hook(clipped)


def chart(result: Finding) -> Chart | None:
    """The norm over time."""
    norms = result.evidence.get("norms")
    if not isinstance(norms, list):
        return None
    return Chart("lines", "measured step", "norm of the gradient", {"gradient": curve(norms)})


def _limit(seen: GradientNorms) -> float:
    """What half of the first norms stay below, in two digits: at most 1, which is usual."""
    early = seen.norms[: max(_FIRST, len(seen.norms) // 2)]
    early = early[np.isfinite(early) & (early > 0)]
    return float(f"{min(1.0, float(np.median(early))) if len(early) else 1.0:.2g}")


CHECK = Check(INFO, look, chart)
