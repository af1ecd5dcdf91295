"""scheduler: does the learning rate go where it should while there is still something to learn?"""

from __future__ import annotations

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.data.class_answers import right_in_validation
from nn_inspector.checks.loop.plateau import Waits, waits_for_a_loss_to_rise, waits_for_a_score_to_fall, waits_for_rise
from nn_inspector.checks.loop.rate_trial import gain_of, is_halved, try_rates
from nn_inspector.checks.loop.rates import Rates, rates_of
from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.loop.traced import intervals_of
from nn_inspector.checks.race import known_left
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import InspectorError
from nn_inspector.history import Chart, Finding, Remedy, Severity, curve
from nn_inspector.probes import group_name

INFO = CheckInfo(
    name="scheduler",
    stage="loop",
    kind="passive",
    question="Does the learning rate go where it should while there is still something to learn?",
    why=(
        "A schedule is made for so many epochs or so many batches. Stepped per batch where it counts epochs, it is over "
        "after a moment, and the rest of the training moves nothing; the other way round, a warm-up never ends."
    ),
    how=(
        "The learning rate is noted whenever it changes. It is suspicious if it stays below 1 % of its highest value from the "
        "first half of the run on, never reaches what the schedule leads to, or never 2 % of what the optimizer was given. A copy then goes on from the present "
        "weights, once with the present rate and once with the highest, which falls more slowly: it is an error if that brings a clear gain, and "
        "a warning if it halves what loss there is and not all is learned. So it is if ReduceLROnPlateau waits for a loss to rise, "
        "or for an accuracy to fall, and has lowered the rate. A "
        "schedule that ends when nothing is left to learn is fine."
    ),
    remedy="Give the schedule as many steps as it will get: epochs * len(train_loader) if it is stepped per batch.",
    sources=("PyTorch documentation: torch.optim, how to adjust the learning rate",),
    explains=OF_THE_LOOP,
)

COLLAPSED = 0.01
"""Share of its highest value below which a rate moves next to nothing."""

EARLY = 0.5
"""Share of the run until which a rate must have collapsed to be suspicious."""

FINISHED = 0.05
"""A network that has no more than this left to learn has no use for a rate."""

UNREACHED = 0.5
"""A rate that stays below this share of what its schedule leads to has not come out of its warm-up."""

USUAL_RATE = 0.1
"""A larger one was given to be multiplied, and is not a rate itself."""

FAR_BELOW = 0.02
"""A schedule that never gives more than this share of the optimizer's own rate is multiplied with it by mistake."""

JUMP = 10.0
"""A rate that rises so many times above all before it, in the middle of a run, is noticed if the loss jumps with it."""

_ENOUGH_STEPS = 20
_PASSES = 3

_SLOWER = """\
horizon = epochs * len(train_loader)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=horizon)  # step it for every batch"""

_WAIT_FOR_FALL = 'scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min")'

_RISE = 'Give ReduceLROnPlateau mode="max" if it is stepped with an accuracy.'
_WAIT_FOR_RISE = 'scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max")'


def look(subject: Subject) -> Finding:
    """Read the rates of the run, and try a higher one where they look too low."""
    run, rates = subject.run, rates_of(subject)
    if rates is None or run.steps < _ENOUGH_STEPS:
        raise InspectorError("Too few steps with a learning rate were seen yet. Run your training loop for a moment.")
    reading = loop_of(subject)
    judges = (_collapsed, _never_reached, _far_below, _jumped)
    result = next((found for judge in judges if (found := judge(subject, rates, reading)) is not None), None)
    if result is not None and result.raised:
        return result
    return _waiting(subject, rates, reading) or result or _remarks(subject, rates, reading)


def _collapsed(subject: Subject, rates: Rates, reading: Reading) -> Finding | None:
    at = collapse(rates.relative)
    if at is None or at > EARLY:
        return None
    trial = try_rates(subject, rates.last, rates.highest, falling=True)
    gain = gain_of(subject, trial)
    severity = rule(gain, unfinished=_is_unfinished(subject))
    if severity == "ok" and trial is not None and is_halved(trial) and (known_left(subject) or 0.0) > FINISHED:
        severity = "warning"
    if severity == "ok":
        message = f"The learning rate was down after {at:.0%} of the run. A higher one would bring no clear gain now."
        return _told(severity, message, rates, None, reading)
    each_batch = _is_stepped_each_batch(reading)
    message = (
        f"{'The' if severity == 'info' else 'No: the'} learning rate fell to {rates.relative[-1]:.2g} of its highest value, below 1 % after {at:.0%} of the run; "
        "after that the weights hardly move."
    )
    text = "Let the rate fall more slowly, or only when the loss does not fall any more (ReduceLROnPlateau)."
    code = _SLOWER
    if waits_for_rise(reading):
        message += ' The scheduler lowers it whenever its value does not rise (mode="max"), as a loss should not.'
        text, code = 'Give ReduceLROnPlateau mode="min" if it is stepped with a loss.', _WAIT_FOR_FALL
    elif _score_that_should_fall(subject, reading) is not None:
        message += ' The scheduler lowers it whenever its value does not fall (mode="min"), as an accuracy should not.'
        text, code = _RISE, _WAIT_FOR_RISE
    elif each_batch:
        message += " The scheduler is stepped for every batch."
        text = "Step the scheduler once an epoch, or give it epochs * len(train_loader) steps."
    remedy = Remedy(text, code, trial)
    return _told(severity, message, rates, remedy, reading)


def _never_reached(subject: Subject, rates: Rates, reading: Reading) -> Finding | None:
    """The highest rate so far is the last one, and far below what the schedule leads to."""
    share = max((high / aim for high, aim in zip(rates.highest, rates.aims, strict=True) if aim > 0), default=1.0)
    late = rates.relative[len(rates.relative) // 2 :]
    if share > UNREACHED or late[-1] < 0.99 or bool((np.diff(late) < -1e-6).any()):
        return None
    trial = try_rates(subject, rates.last, rates.aims)
    gain = gain_of(subject, trial)
    severity: Severity = "error" if gain and _passes(subject) >= _PASSES else "info"
    message = (
        f"{'No: t' if severity == 'error' else 'T'}he learning rate has only come to {share:.2g} of what its schedule leads "
        f"to, after {subject.run.steps:,} steps: the warm-up is not over."
    )
    remedy = Remedy(
        "Make the warm-up shorter, counted in what the scheduler is stepped by (batches or epochs).",
        "warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=len(train_loader))",
        trial,
    )
    return _told(severity, message, rates, remedy, reading)


def _far_below(subject: Subject, rates: Rates, reading: Reading) -> Finding | None:
    """A schedule whose highest rate is next to nothing of the rate that the optimizer was given: the two are multiplied."""
    share = max((high / aim for high, aim in zip(rates.highest, rates.aims, strict=True) if aim > 0), default=1.0)
    if share > FAR_BELOW:
        return None
    trial = try_rates(subject, rates.highest, rates.aims)
    gain = gain_of(subject, trial)
    highest, aim = max(rates.highest), max(rates.aims)
    if gain is False or (gain is None and (aim > USUAL_RATE or not _is_unfinished(subject))):
        return None
    message = (
        f"No: the learning rate never came above {highest:.2g}, though the optimizer was given {aim:.2g}. What a schedule returns is "
        "multiplied with that."
    )
    remedy = Remedy(
        "Let the function of LambdaLR return a factor of about 1 at its highest, or give the optimizer lr=1.0 where it returns "
        "the rate itself.",
        "optimizer = torch.optim.Adam(model.parameters(), lr=1.0)  # LambdaLR multiplies it with what noam() returns\n"
        "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, noam)",
        trial,
    )
    return _told("error" if gain else "warning", message, rates, remedy, reading)


def _jumped(subject: Subject, rates: Rates, reading: Reading) -> Finding | None:
    """The rate rose far above all that it had been, and the loss with it."""
    jump = largest_jump(rates.relative)
    if jump is None:
        return None
    place, factor = jump
    step = int(rates.steps[place])
    losses = subject.run.series("loss", "train")
    before, after = losses.values[losses.steps < step][-10:], losses.values[losses.steps >= step]
    if len(before) < 5 or len(after) < 5 or not np.isfinite(before).all():
        return None
    level, rest = float(np.median(before)), float(np.median(after))
    if np.isfinite(rest) and rest < level + max(0.5 * abs(level), 0.05 * abs(float(losses.values[0]))):
        return None
    message = (
        f"No: at step {step:,} the learning rate rose to {factor:.0f} times what it had been before, and the loss from "
        f"{level:.3g} to {rest:.3g}."
    )
    remedy = Remedy(
        "Keep the rate at what worked before that step.", 'for group in optimizer.param_groups:\n    group["lr"] /= 10'
    )
    return _told("warning", message, rates, remedy, reading)


def _waiting(subject: Subject, rates: Rates, reading: Reading) -> Finding | None:
    """A scheduler that has lowered the rate because a loss did not rise, whatever harm that has done so far."""
    if rates.relative[-1] >= rates.relative.max():
        return None
    optimizers = subject.training.optimizers
    found = waits_for_a_loss_to_rise(subject.run, reading, optimizers)
    if found is None:
        score = _score_that_should_fall(subject, reading)
        return _waiting_for_fall(score, rates, reading) if score is not None else None
    best = (
        f" Its best value so far is {found.best:.3g}, the highest that it was given." if found.best is not None else ""
    )
    message = (
        f'No: the scheduler lowers the rate whenever its value does not rise (mode="max"), but `{found.given}` is a loss, which '
        f"should fall.{best} The rate has come down to {rates.relative[-1]:.2g} of its highest value by now."
    )
    remedy = Remedy('Give ReduceLROnPlateau mode="min" if it is stepped with a loss.', _WAIT_FOR_FALL)
    return _told("warning", message, rates, remedy, reading)


def _score_that_should_fall(subject: Subject, reading: Reading) -> Waits | None:
    optimizers = subject.training.optimizers
    return waits_for_a_score_to_fall(subject.run, reading, optimizers, lambda: right_in_validation(subject))


def _waiting_for_fall(found: Waits, rates: Rates, reading: Reading) -> Finding:
    given = f"`{found.given}`" if found.given else "what it is given"
    message = (
        f'No: the scheduler lowers the rate whenever its value does not fall (mode="min"), but {given} should rise. Its best value so '
        f"far is {found.best:.3g}, the lowest that it was given. The rate has come down to {rates.relative[-1]:.2g} of its highest "
        "value by now."
    )
    remedy = Remedy(_RISE, _WAIT_FOR_RISE)
    return _told("warning", message, rates, remedy, reading)


def _remarks(subject: Subject, rates: Rates, reading: Reading) -> Finding:
    if len(set(rates.relative.tolist())) == 1:
        if reading.of("schedule") and not reading.of("scheduler"):
            message = "A scheduler is made and never stepped: the learning rate stayed the same."
            return _told("info", message, rates, None, reading)
        return _told("ok", "The learning rate stayed the same.", rates, None, reading)
    if _comes_before_step(subject):
        message = "The scheduler is stepped before the optimizer: its first rate is passed over. It is a small thing."
        return _told("info", message, rates, None, reading)
    message = (
        f"The learning rate went from {rates.first[0]:.2g} to {rates.last[0]:.2g}, {rates.highest[0]:.2g} at most."
    )
    return _told("ok", message, rates, None, reading)


def collapse(relative: np.ndarray) -> float | None:
    """After which share of the run a rate was below `COLLAPSED` of its highest value for good; None if it was not.

    Example:
        >>> collapse(np.array([1.0, 0.1, 0.001, 0.001]))
        0.5
    """
    above = np.flatnonzero(relative > COLLAPSED)
    if not len(above) or above[-1] == len(relative) - 1:
        return None
    return float(above[-1] + 1) / len(relative)


def largest_jump(relative: np.ndarray) -> tuple[int, float] | None:
    """Where, behind the first tenth, a rate rose `JUMP` times above all before at once, and how many times.

    Example:
        >>> largest_jump(np.array([0.01] * 10 + [1.0] * 10))
        (10, 100.0)
    """
    before = np.maximum.accumulate(relative)[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(before > 0, relative[1:] / before, 1.0)
    factors[: len(relative) // 10] = 1.0
    if not len(factors) or factors.max() < JUMP:
        return None
    return int(factors.argmax()) + 1, float(factors.max())


def rule(gain: bool | None, *, unfinished: bool) -> Severity:
    """Severity of a rate that collapsed early.

    Args:
        gain: whether the highest rate brings a clear gain from here; None if it could not be tried.
        unfinished: whether the loss is still above half of its first value.

    Example:
        >>> rule(True, unfinished=True), rule(None, unfinished=True), rule(False, unfinished=True)
        ('error', 'warning', 'ok')
    """
    if gain is None:
        return "warning" if unfinished else "info"
    return "error" if gain else "ok"


def _is_unfinished(subject: Subject) -> bool:
    losses = subject.run.series("loss", "train").values
    if len(losses) < _ENOUGH_STEPS:
        return False
    return bool(np.median(losses[-5:]) > 0.5 * np.median(losses[:3]) > 0)


def _passes(subject: Subject) -> float:
    """How often the training data was gone through."""
    loader = subject.training.train_loader
    if isinstance(loader, list | tuple):
        return subject.run.steps / len(loader)
    return float(sum(1 for epoch in subject.run.epochs("train") if epoch.complete))


def _is_stepped_each_batch(reading: Reading) -> bool:
    return any("batches" in {loop.over for loop in event.loops} for event in reading.of("scheduler"))


def _comes_before_step(subject: Subject) -> bool:
    """Whether new rates came between backward() and step() in most of the steps where any came."""
    found = ["scheduler" in interval.after_last("backward") for interval in intervals_of(subject.run)]
    return sum(found) >= 3 and sum(found) > len(found) / 2


def _told(severity: Severity, message: str, rates: Rates, remedy: Remedy | None, reading: Reading) -> Finding:
    event: Event | None = reading.first("scheduler") or reading.first("schedule")
    where = event.place if event is not None else "optimizer" if len(rates.last) == 1 else group_name(0, 0)
    stride = max(1, len(rates.relative) // 200)
    evidence: dict[str, float | list[float]] = {
        "relative_rate": rates.relative[::stride].tolist(),
        "step": rates.steps[::stride].tolist(),
        "highest": max(rates.highest),
        "last": max(rates.last),
    }
    tried = remedy is not None and remedy.tried is not None
    return finding(
        INFO,
        severity,
        message,
        evidence=evidence,
        remedy=remedy,
        where=where if severity != "ok" else None,
        basis="experiment" if tried and severity == "error" else "structure",
    )


def chart(result: Finding) -> Chart | None:
    """The learning rate over the run."""
    values = result.evidence.get("relative_rate")
    if not isinstance(values, list) or len(values) < 2:
        return None
    return Chart("lines", "share of the run", "learning rate over its highest", {"learning rate": curve(values)})


CHECK = Check(INFO, look, chart)
