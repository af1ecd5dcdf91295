"""learning_rate: would the training learn far better at another rate?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.race import answers_well, left_now
from nn_inspector.checks.symptoms import ALL_SYMPTOMS
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.checks.train.laps import Lap, Laps, laps_of, trial
from nn_inspector.checks.train.levels import loss_levels
from nn_inspector.checks.train.passes import passes_cut_short
from nn_inspector.checks.train.rate_for_a_few import FewItems, at_a_lower_rate, times
from nn_inspector.checks.train.standing import NOTHING, Standing, lap_is_proof, require_plain, standing
from nn_inspector.checks.train.unmoved import hardly_moved
from nn_inspector.errors import ExperimentError
from nn_inspector.history import Chart, Curve, Evidence, Finding, Remedy, Severity, Trial, curve

INFO = CheckInfo(
    name="learning_rate",
    stage="train",
    kind="active",
    question="Would the training learn far better at another learning rate?",
    why=(
        "The learning rate is the setting that matters most. Too high, and each step overshoots: the loss jumps, explodes "
        "or ends on a plateau with dead units. Too low, and the weights hardly move: the loss is where it began when the "
        "training ends."
    ),
    how=(
        "If the loss has come most of the way from chance to the least possible one, the rate is fine. Else copies are "
        "trained from your first weights on the same batches, with the rate times 0.1, 10, 0.01, 100 and so on. It is "
        "raised if one of them comes far further, on items it has not seen, in as many steps as yours or fewer. It is an "
        "error if yours learned next to nothing and the other most of it. Where the loss has come most of the way and many answers are "
        "wrong, lower rates are tried: one has to leave a tenth of the wrong answers. Where nothing was learned at any rate, it is a warning "
        "if a few items cannot be learned by heart at yours, and can at a tenth or a hundredth of it. Where copies cannot be trained, as in reinforcement learning, it is a "
        "warning if the rate is 1e-5 or less and weights that were just drawn have moved by less than 2 %."
    ),
    remedy="Take the rate that came furthest, or go in factors of ten from 0.1 (SGD) or 0.001 (Adam) until the loss falls.",
    sources=(
        "Smith, Cyclical Learning Rates for Training Neural Networks (2017): range test",
        "Karpathy, A Recipe for Training Neural Networks (2019): tune the learning rate",
        "CS231n, Neural Networks Part 3: the loss at rates too high and too low",
    ),
    explains=(*ALL_SYMPTOMS, "training_length", "capacity", "label_alignment"),
)

FINE = 0.6
"""From this share of the way from chance to the least possible loss on, nothing is tried."""

FACTORS = (0.1, 10.0, 0.01, 100.0, 0.001, 1000.0, 1e-4, 1e4, 1e-6, 1e6)
"""What the rate is multiplied with, in the order in which it is tried."""

MOST_SCALED = 1.0
"""Adam and its kin, whose steps are about as long as the rate whatever the gradient is, are tried with no higher one."""

LOWER = (0.1, 0.01)
"""The same where the loss has come most of the way: a rate that is too low there is no worse than a short training."""

_LAPS_OF_NOTHING = 0.5
"""Where nothing was learned, other rates have this share of the time; a few items have the rest."""

_WRONG = 0.15
"""With more than this share of its answers still to learn, a training whose loss has come most of the way may do far better."""


def look(subject: Subject, *, every: bool = False) -> Finding:
    """Try other rates where the training does not do well.

    Args:
        subject: training and run.
        every: try them in any case.
    """
    fine = None if every else _does_well(subject)
    if fine is not None:
        lower = _lower(subject) if _answers_wrongly(subject) else None
        message = f"It does not look so: with {_said(subject)} the loss came {fine:.0%} of the way from chance to the least possible."
        return lower or finding(INFO, "ok", message, evidence={"progress": fine})
    if not every and answers_well(subject):
        return finding(
            INFO, "ok", f"It does not look so: with {_said(subject)} most answers of your network are right by now."
        )
    deadline = time.monotonic() + subject.seconds
    try:
        track = laps_of(subject)
        require_plain(subject, track)
    except ExperimentError:
        still = hardly_moved(subject, _highest(subject))
        if still is None:
            raise
        return _unmoved(subject, still)
    place = standing(subject, track)
    rest = deadline - time.monotonic()
    laps = _laps(subject, track, place, rest * (_LAPS_OF_NOTHING if place.best <= NOTHING else 1.0), every=every)
    ends = {factor: lap.end for factor, lap in laps.items() if lap.complete}
    best = min(ends, key=lambda factor: ends[factor])
    evidence = _evidence(subject, track, ends)
    if not _proves(track, place, laps[best]):
        few = at_a_lower_rate(subject, deadline - time.monotonic()) if place.best <= NOTHING else None
        return _none_further(subject, track, few, evidence)
    if best > 1 and passes_cut_short(subject):
        message = (
            "A higher rate would come further in as few steps, but there are so few because each pass is left early."
        )
        return finding(INFO, "info", message, evidence=evidence)
    return _raised(subject, track, place, best, laps[best], evidence)


def _answers_wrongly(subject: Subject) -> bool:
    try:
        kind, left = left_now(subject)
    except ExperimentError:
        return False
    return kind == "classes" and left is not None and left > _WRONG


def _lower(subject: Subject) -> Finding | None:
    """Whether the wrong answers of a training that has come most of the way are due to a rate that is too high."""
    try:
        track = laps_of(subject)
        require_plain(subject, track)
        place = standing(subject, track)
        laps = {one: track.lap(f"rate times {one:g}", times(one), seconds=subject.seconds / 3) for one in LOWER}
    except ExperimentError:
        return None
    best = min(laps, key=lambda factor: laps[factor].end)
    if not lap_is_proof(laps[best]) or not place.outdone(laps[best].right):
        return None
    ends = {1.0: track.own.end, **{factor: lap.end for factor, lap in laps.items() if lap.complete}}
    return _raised(subject, track, place, best, laps[best], _evidence(subject, track, ends))


def _laps(subject: Subject, track: Laps, place: Standing, seconds: float, *, every: bool) -> dict[float, Lap]:
    """Laps by the factor of their rate, ever further from 1 until one proves something and those further out are worse."""
    deadline = time.monotonic() + seconds
    laps, most = {1.0: track.own}, max(1.0, _most(subject))
    for factor in (one for one in FACTORS if one <= most):
        rest = deadline - time.monotonic()
        best = min(laps, key=lambda tried: laps[tried].end)
        inside = min(laps) < best < max(laps) and factor < 1
        if rest <= 0 or (inside and not every and _proves(track, place, laps[best])):
            break
        lap = track.lap(f"rate times {factor:g}", times(factor), seconds=rest)
        if lap.complete:
            laps[factor] = lap
    return laps


def _proves(track: Laps, place: Standing, lap: Lap) -> bool:
    return lap is not track.own and lap_is_proof(lap) and place.missed(track.progress(lap.end), lap.right)


def rates(subject: Subject) -> list[float]:
    """The largest learning rate of each parameter group that was seen or is set now."""
    return list(_highest(subject).values())


def _most(subject: Subject) -> float:
    """The largest factor of the rate that makes sense."""
    scaled, highest = (
        any("betas" in one.defaults for one in subject.training.optimizers),
        max(rates(subject), default=0.0),
    )
    return MOST_SCALED / highest if scaled and highest > 0 else math.inf


def _highest(subject: Subject) -> dict[str, float]:
    found: Mapping[str, float] = subject.training.initial_rates
    seen = {source: subject.run.series("learning_rate", source).high for source in subject.run.sources("learning_rate")}
    largest = {source: float(max(values)) for source, values in seen.items() if len(values)}
    return {source: max(rate, largest.get(source, 0.0)) for source, rate in found.items()}


def chart(result: Finding) -> Chart | None:
    """Where the laps ended, over the rate."""
    if "rates" not in result.evidence:
        return None
    tried, ends = result.evidence["rates"], result.evidence["ends"]
    assert isinstance(tried, list), "it is made so below"
    assert isinstance(ends, list), "it is made so below"
    points = Curve(curve([math.log10(rate) for rate in tried]).y, curve(ends).y, "points")
    start = result.evidence["start"]
    assert isinstance(start, float), "it is made so below"
    return Chart(
        "lines", "learning rate, as a power of ten", "loss at the end", {"tried": points}, levels={"before": start}
    )


def _does_well(subject: Subject) -> float | None:
    """How far the run came, if that is far enough."""
    levels, seen = loss_levels(subject), LossCurve.of(subject.run)
    if levels is None or not seen.total:
        return None
    progress = levels.progress(seen.end)
    return progress if progress >= FINE else None


def _evidence(subject: Subject, track: Laps, ends: Mapping[float, float]) -> Evidence:
    rate = max(rates(subject), default=1.0) or 1.0
    factors = sorted(ends)
    reached = {"rates": [rate * factor for factor in factors], "ends": [ends[factor] for factor in factors]}
    return {**reached, "start": track.own.start}


def _raised(subject: Subject, track: Laps, place: Standing, factor: float, lap: Lap, evidence: Evidence) -> Finding:
    known = sorted(set(rates(subject)))
    single = known[0] if len(known) == 1 else None
    kind = "low" if factor > 1 else "high"
    own = f"ends at a loss of {track.own.end:.3g}" if math.isfinite(track.own.end) else "explodes"
    better = f"{single * factor:.3g}" if single else f"your rates times {factor:g}"
    message = (
        f"Yes: {_said(subject)} is too {kind}. From your first weights a copy {own} with it after {track.steps} steps, and "
        f"at {lap.end:.3g} with {better}, on the same batches."
    )
    setting = f"= {single * factor:.3g}" if single else f"*= {factor:g}"
    remedy = Remedy(
        f"Take a learning rate of {better}." if single else f"Take {better}.",
        f'for group in optimizer.param_groups:\n    group["lr"] {setting}',
        trial(track.own, lap),
    )
    severity: Severity = "error" if place.wholly_missed(track.progress(lap.end)) else "warning"
    return finding(
        INFO,
        severity,
        message,
        evidence=evidence,
        remedy=remedy,
        where="optimizer",
        basis="experiment",
    )


def _none_further(subject: Subject, track: Laps, few: FewItems | None, evidence: Evidence) -> Finding:
    if few is None:
        message = f"No: no rate that was tried came far further than {_said(subject)} in {track.steps} steps."
        return finding(INFO, "ok", message, evidence=evidence)
    known = sorted(set(rates(subject)))
    better = f"{known[0] * few.factor:.3g}" if len(known) == 1 else f"your rates times {few.factor:g}"
    own = f"is {few.own.end:.3g} after {few.own.steps} steps" if math.isfinite(few.own.end) else "explodes"
    message = (
        f"Yes: {_said(subject)} is too high. With it the loss on {few.items} items alone {own}. With {better} they are learned by heart in "
        f"{few.lower.steps}."
    )
    remedy = Remedy(
        f"Take a learning rate of {better}, and give it time: on all items no rate came far in as few steps.",
        f'for group in optimizer.param_groups:\n    group["lr"] *= {few.factor:g}',
        Trial(few.own.losses, few.lower.losses, helped=True),
    )
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where="optimizer", basis="experiment")


def _unmoved(subject: Subject, still: float) -> Finding:
    message = (
        f"Yes: {_said(subject)} is too low. In {subject.run.steps:,} steps no layer's weights moved by more than {still:.2g} of their "
        "size: the network is still about the one that was drawn at the beginning."
    )
    return finding(
        INFO,
        "warning",
        message,
        evidence={"moved": still, "rate": max(rates(subject))},
        remedy=Remedy(
            "Take a usual rate: 0.001 with Adam, 0.01 with SGD. Go in factors of ten from there.",
            'for group in optimizer.param_groups:\n    group["lr"] = 1e-3',
        ),
        where="optimizer",
        basis="structure",
    )


def _said(subject: Subject) -> str:
    known = sorted(set(rates(subject)))
    return f"a learning rate of {known[0]:.3g}" if len(known) == 1 else "your learning rates"


CHECK = Check(INFO, look, chart)
