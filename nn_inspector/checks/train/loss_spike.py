"""loss_spike: a sudden collapse after good progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.train.course import Course, course_chart, course_of, has_one_pass
from nn_inspector.checks.train.gradients_seen import clip_value, gradient_norms
from nn_inspector.errors import InspectorError
from nn_inspector.history import Evidence, Finding, Remedy, Run

INFO = CheckInfo(
    name="loss_spike",
    stage="train",
    kind="passive",
    question="Did a training that went well collapse all at once?",
    why=(
        "One step that is far too large can throw the weights to where no gradient leads back: recurrent networks and high "
        "rates are known for it. Everything that was learned until then is lost."
    ),
    how=(
        "The smoothed loss must have fallen to less than half of its start, then have jumped back by half of that fall or more, "
        "and have stayed there. It is a warning then, with the gradient and the rate just before. A loss that may be negative is "
        "not judged."
    ),
    remedy="Clip the gradient at a value that usual steps of this run stay below, lower the rate, and go back to a checkpoint.",
    sources=(
        "Pascanu et al., On the difficulty of training recurrent neural networks (2013): clipping",
        "A thread on an LSTM that trains well and then collapses",
    ),
    explains=("divergence", "oscillation", "no_learning", "constant_predictions"),
)

LEARNED = 0.5
"""The loss must have been below this share of its start: then something was learned."""

LOST = 0.5
"""Of the fall, so much must be lost for good."""

STILL_GOOD = 0.25
"""The collapse begins where the smoothed loss was last no further above its best than this share of the fall."""

_LEAST_AFTER = 2
_BEFORE = 50


@dataclass(frozen=True, slots=True)
class Spike:
    """A collapse.

    Attributes:
        step: the first step at which the loss is lost.
        best, after: the smoothed loss at its best, and the least it reached after the collapse.
    """

    step: int
    best: float
    after: float


def look(subject: Subject) -> Finding:
    """Look for a fall that is lost again."""
    course = course_of(subject)
    if course.levels is None and not has_one_pass(subject.run):
        raise InspectorError(
            "The model is called several times in a step, and it is not known how low this loss should go."
        )
    seen = course.curve
    spike = find_spike(course)
    if spike is None:
        return finding(INFO, "ok", f"No: at its best the loss was {seen.best:.3g}, at its end {seen.end:.3g}.")
    circumstances, evidence = _circumstances(subject.run, spike)
    message = (
        f"Yes: the loss had come down from {seen.start:.3g} to {spike.best:.3g}; at step {spike.step} it collapsed, and it has been "
        f"at {spike.after:.3g} or above since.{circumstances}"
    )
    limit = clip_value(gradient_norms(subject.run).between(0, spike.step - 1)) or 1.0
    remedy = Remedy(
        f"Clip the gradient at {limit:g}: nine of ten steps before the collapse stayed below it. Lower the rate, and start from a "
        f"checkpoint of before. It was not tried: a copy meets the collapse at step {spike.step} only.",
        f"torch.nn.utils.clip_grad_norm_(model.parameters(), {limit:g})  # between backward() and step()",
    )
    evidence = {**course.evidence(), **evidence, "step": float(spike.step)}
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=f"step {spike.step}")


def find_spike(course: Course) -> Spike | None:
    """The collapse, if there is one."""
    seen, smooth = course.curve, course.curve.smooth
    finite = np.where(np.isfinite(smooth), smooth, np.inf)
    if len(smooth) < 8 or not seen.start > 0 or seen.best < 0 or seen.best > LEARNED * seen.start:
        return None
    fall = seen.start - seen.best
    last_good = int(np.flatnonzero(finite < seen.best + STILL_GOOD * fall)[-1])
    after = finite[last_good + 2 :]
    level = seen.best + LOST * fall
    if len(after) < _LEAST_AFTER or after.min() < level:
        return None
    high = np.where(np.isfinite(seen.losses), seen.losses, np.inf) > level
    begin = int(len(high) * last_good / len(smooth))
    lasting = [place for place in range(begin, len(high)) if high[place] and high[place : place + 5].mean() > 0.5]
    return Spike(int(seen.steps[lasting[0]]), seen.best, float(after.min())) if lasting else None


def _circumstances(run: Run, spike: Spike) -> tuple[str, Evidence]:
    """The gradient and the rate just before, in words and as numbers."""
    norms, text = gradient_norms(run), ""
    evidence: dict[str, float | list[float]] = {}
    usual = norms.between(0, spike.step - _BEFORE // 2)
    near = norms.between(spike.step - _BEFORE // 2, spike.step)
    if len(usual) and len(near):
        evidence |= {"gradient_before": float(near.max()), "gradient_usual": float(np.median(usual))}
        text += f" The gradient was up to {near.max():.3g} just before, and {np.median(usual):.3g} usually."
    for source in run.sources("learning_rate"):
        series = run.series("learning_rate", source)
        changed = (series.steps > spike.step - _BEFORE) & (series.steps <= spike.step)
        places = np.flatnonzero(changed)
        if len(places) and places[0] > 0 and series.values[places[-1]] > 2 * series.values[places[0] - 1]:
            before, now = series.values[places[0] - 1], series.values[places[-1]]
            evidence |= {"rate_before": float(before), "rate_then": float(now)}
            return text + f" The learning rate had been raised from {before:.3g} to {now:.3g} before that.", evidence
    return text, evidence


CHECK = Check(INFO, look, course_chart)
