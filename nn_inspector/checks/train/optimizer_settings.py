"""optimizer_settings: do unusual settings of the optimizer hold the training back?"""

from __future__ import annotations

from collections.abc import Sequence

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.race import answers_well
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.course import course_of
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.laps import laps_of, trial
from nn_inspector.checks.train.levels import loss_levels
from nn_inspector.checks.train.optimizer_oddities import ACCUMULATOR, Oddity, made_usual, oddities_of
from nn_inspector.checks.train.rates_apart import race_to_one_rate, rates_apart
from nn_inspector.checks.train.standing import lap_is_proof, require_plain, standing
from nn_inspector.errors import ExperimentError, InspectorError
from nn_inspector.history import Finding, Remedy, Severity

INFO = CheckInfo(
    name="optimizer_settings",
    stage="train",
    kind="active",
    question="Do unusual settings of the optimizer hold the training back?",
    why=(
        "Besides the rate an optimizer has settings that one seldom touches: epsilon, momentum, betas. A wrong one makes the "
        "steps far too small or lets them overshoot, and looks like a wrong learning rate."
    ),
    how=(
        "Settings are compared with the usual ones: epsilon above 0.01 (1e-8), momentum or the first beta above 0.98 (0.9), a "
        "second beta below 0.7 (0.999), a sum of squared gradients that begins above 1 (0), maximize. If the training does not do well, a copy with the usual values is trained from "
        "your first weights on the same batches. It is raised if that comes far further, and mentioned else. "
        "So it is with parameter groups whose rates lie a thousandfold apart, which a copy gives one rate. "
        "Where nothing can be tried, a training that does not learn makes it a warning."
    ),
    remedy="Leave these settings at their defaults, and tune the learning rate.",
    sources=(
        "Kingma and Ba, Adam: A Method for Stochastic Optimization (2015): the usual values",
        "Goodfellow et al., Deep Learning (2016), section 8.3: momentum 0.5, 0.9, 0.99",
        "Karpathy, A Recipe for Training Neural Networks (2019): Adam is safe",
    ),
    explains=(*ALL_SYMPTOMS, "label_alignment", "learning_rate", "update_direction"),
)

FINE = 0.6
"""From this share of the way from chance to the least possible loss on, nothing is tried."""

RISEN = 3.0
"""Where steps overshoot, a loss that ends so many times above its best has been carried away by them."""

FAILS = 0.35
"""Below this share, unusual settings that cannot be tried are worth a warning."""

_MADE_ANEW = "optimizer = torch.optim.Adagrad(model.parameters(), lr=0.01)  # its accumulator begins at 0"


def look(subject: Subject) -> Finding:
    """Look for unusual settings, and try the usual ones."""
    optimizers = subject.training.optimizers
    if not optimizers:
        raise ExperimentError("No optimizer is known. Pass optimizer=... to watch(), or run your training loop.")
    found = _apart(subject)
    if found is not None:
        return found
    odd = oddities_of(optimizers)
    if not odd:
        return finding(INFO, "ok", "No: epsilon, momentum and betas are within the usual.")
    said = "; ".join(one.text for one in odd)
    if _does_well(subject):
        if any(one.swapped for one in odd):
            message = f"Yes, though the training does well: {said}"
            return finding(INFO, "warning", message, remedy=_remedy(odd), where="optimizer", basis="structure")
        return finding(INFO, "info", f"They are unusual, but the training does well: {said}", where="optimizer")
    return _tried(subject, odd, said)


def _apart(subject: Subject) -> Finding | None:
    """Groups whose rates are next to nothing beside those of others, and a copy with one rate for all learns."""
    apart = rates_apart(subject)
    tried = race_to_one_rate(subject) if apart is not None else None
    if apart is None or tried is None or tried.severity == "info":
        return None
    remedy = Remedy(
        "Give all groups rates that lie closer together. Where the rate falls from layer to layer, take a factor of 0.7 to 1.",
        f'for group in optimizer.param_groups:\n    group["lr"] = {apart.highest:.3g}',
        tried.trial,
    )
    evidence = {"lowest": apart.lowest, "highest": apart.highest, "groups": float(apart.groups)}
    message = f"Yes: {apart.text} {tried.text}"
    return finding(
        INFO, tried.severity, message, evidence=evidence, remedy=remedy, where=apart.where, basis="experiment"
    )


def _tried(subject: Subject, odd: Sequence[Oddity], said: str) -> Finding:
    remedy = _remedy(odd)
    severity: Severity
    try:
        laps = laps_of(subject)
        require_plain(subject, laps)
        lap = laps.lap("usual settings", lambda copied: made_usual(odd, copied), seconds=subject.seconds / 2)
    except ExperimentError:
        severity, failing = ("warning", ", and the training does not learn") if _fails(subject) else ("info", "")
        message = f"They are unusual{failing}: {said} The usual ones could not be tried on a copy."
        return finding(INFO, severity, message, remedy=remedy, where="optimizer")
    place, reached = standing(subject, laps), laps.progress(lap.end)
    evidence = {"end": laps.own.end, "end_with_usual": lap.end}
    if not (lap_is_proof(lap) and place.missed(reached, lap.right)):
        seen = LossCurve.of(subject.run)
        if any(one.overshoots for one in odd) and seen.end > RISEN * seen.best > 0 and lap_is_proof(lap):
            message = (
                f"Yes: {said} The loss of your training was {seen.best:.3g} at its best, and is {seen.end:.3g} now."
            )
            return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where="optimizer")
        message = f"They are unusual, but the usual ones do not do far better in {lap.steps} steps: {said}"
        return finding(INFO, "info", message, evidence=evidence, remedy=remedy, where="optimizer")
    severity = "error" if place.wholly_missed(reached) else "warning"
    message = (
        f"Yes: {said} From your first weights a copy comes to a loss of {laps.own.end:.3g} in {laps.steps} steps, and to "
        f"{lap.end:.3g} with the usual settings."
    )
    remedy = Remedy(remedy.text, remedy.code, trial(laps.own, lap))
    return finding(INFO, severity, message, evidence=evidence, remedy=remedy, where="optimizer", basis="experiment")


def _remedy(odd: Sequence[Oddity]) -> Remedy:
    lines = [f'    group["{one.name}"] = {one.usual!r}' for one in odd if one.name != ACCUMULATOR]
    code = ["for group in optimizer.param_groups:", *lines] if lines else []
    code += [_MADE_ANEW for one in odd if one.name == ACCUMULATOR][:1]
    names = " and ".join(one.name for one in odd)
    return Remedy(f"Set {names} back to the usual.", "\n".join(code))


def _does_well(subject: Subject) -> bool:
    levels, seen = loss_levels(subject), LossCurve.of(subject.run)
    far = levels is not None and bool(seen.total) and levels.progress(seen.end) >= FINE
    return far or answers_well(subject)


def _fails(subject: Subject) -> bool:
    """Whether it learned next to nothing, as far as its losses tell."""
    try:
        course = course_of(subject)
    except InspectorError:
        return False
    return course.end < FAILS


CHECK = Check(INFO, look, trial_chart)
