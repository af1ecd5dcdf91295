"""step_order: do backward(), clipping and step() come in the order in which they work?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart, try_out
from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.loop.traced import Interval, gradient_sizes, intervals_of
from nn_inspector.checks.model.wiring import parameters_of
from nn_inspector.checks.race import BADLY, Change, Race, known_left, race
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import InspectorError
from nn_inspector.experiments import Arm, BatchSource, TrainingCopy
from nn_inspector.history import Finding, Remedy, Severity, Trial

INFO = CheckInfo(
    name="step_order",
    stage="loop",
    kind="passive",
    question="Do backward(), clipping and step() come in the order in which they work?",
    why=(
        "backward() makes the gradients, clipping shortens them, step() uses them. Clipping before backward() or after "
        "step() looks right and does nothing; a step before backward() follows the gradient of the batch before."
    ),
    how=(
        "The calls of the first 20 steps are noted as they come, and your loop is read for its lines. Clipping at the wrong "
        "place is an error if at least half of the gradients were above its limit, a warning if some were, and else a "
        "remark: it would have changed nothing. Where gradients are clipped while the scale of the loss is still on them, "
        "two copies train with the limit that this comes to and with yours. Clipping each part by itself, or while "
        "accumulating, is fine."
    ),
    remedy="Keep the order: zero_grad(), forward pass, loss, backward(), (unscale, clip), optimizer.step(), scheduler.",
    sources=("PyTorch documentation: torch.nn.utils.clip_grad_norm_", "PyTorch: automatic mixed precision examples"),
    explains=OF_THE_LOOP,
)

OFTEN = 0.5
"""Share of gradients above the limit from which on clipping at the wrong place is an error."""

LARGE = 4.0
"""A scale of the loss from which on clipping under it is looked at."""

_ENOUGH = 3
_MOST = 0.8
_TRIAL_STEPS = 80

_LOOP = """\
optimizer.zero_grad()
loss = loss_fn(model(x), y)
loss.backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimizer.step()"""


@dataclass(frozen=True, slots=True)
class _Clipping:
    """Where the clipping of the traced steps happened.

    Attributes:
        place: "right", "after step", "before backward", "scaled" or "empty".
        limit: what it clips to.
        norms: of the gradients it met, where it clips by norm.
        scale: by what gradients are divided after it: the scale of the loss, where that is still on them.
    """

    place: str
    limit: float
    norms: Sequence[float]
    by_value: bool
    scale: float = 1.0


def look(subject: Subject) -> Finding:
    """Read the order of the calls from the trace of the first steps."""
    intervals, reading = intervals_of(subject.run), loop_of(subject)
    if len(intervals) < _ENOUGH:
        raise InspectorError("Too few steps were seen with their backward(). Run your training loop for a moment.")
    if _steps_come_early(intervals):
        return _early(reading)
    clipping = _clipping_of(intervals, _taken_back(subject))
    if clipping is None:
        return finding(INFO, "ok", "Yes: backward() comes before step(). Nothing is clipped.", basis="structure")
    if clipping.place == "right":
        return finding(INFO, "ok", "Yes: backward(), then clipping, then step().", basis="structure")
    if clipping.place == "scaled":
        return _scaled(subject, clipping, reading)
    return _misplaced(subject, clipping, reading)


def _steps_come_early(intervals: Sequence[Interval]) -> bool:
    """Whether a new batch went through the model after the last backward() and before step()."""
    if len({interval.optimizer for interval in intervals}) > 1:
        return False
    late = [interval.after_last("backward") for interval in intervals[1:]]
    early = [calls for calls in late if "forward" in calls]
    return len(early) >= _MOST * len(late) and len(late) >= _ENOUGH


def _early(reading: Reading) -> Finding:
    place = None
    for events in reading.rounds:
        kinds = [event.kind for event in events if event.kind in ("step", "backward") and not event.conditions]
        if kinds[:2] == ["step", "backward"]:
            place = next(event.place for event in events if event.kind == "step")
    severity: Severity = "error" if place is not None else "warning"
    message = "No: step() is called before backward(), so that it follows the gradient of the batch before, or none."
    return finding(
        INFO, severity, message, remedy=Remedy("Call backward() first.", _LOOP), where=place, basis="structure"
    )


def _taken_back(subject: Subject) -> float:
    """By what the loop itself multiplied its loss and divided the gradients again; 1 where it did not."""
    tape = subject.training.tape if subject.training.step is None else None
    return tape.taken_back if tape is not None else 1.0


def _clipping_of(intervals: Sequence[Interval], taken_back: float) -> _Clipping | None:
    """Where nearly all clipping happened; None if there was none, or it was mixed."""
    by_step = [_places(interval, taken_back) for interval in intervals]
    found = [clip for clips in by_step for clip in clips]
    if len(found) < _ENOUGH:
        return None
    place, count = Counter(place for place, _, _ in found).most_common(1)[0]
    if count < _MOST * len(found):
        return _Clipping("right", 0.0, (), by_value=False)
    limits = [limit for one, limit, _ in found if one == place]
    norms = [norm for one, _, norm in found if one == place and norm is not None]
    by_value = not norms
    met = [any(norm != 0 for _, _, norm in clips) for clips in by_step if clips]
    if place == "right" and met.count(False) >= _MOST * len(met):
        place = "empty"
    scales = [1 / after for after in map(_after_clipping, intervals) if after is not None] if place == "scaled" else []
    return _Clipping(place, max(limits), norms, by_value=by_value, scale=float(np.median(scales)) if scales else 1.0)


def _after_clipping(interval: Interval) -> float | None:
    """By what the loop, or its scaler, multiplied the gradients between clipping and step."""
    found = [entry.facts["after"] for entry in interval.entries if entry.call == "rescale"]
    return float(found[0]) if found else None  # type: ignore[arg-type]


def _places(interval: Interval, taken_back: float) -> list[tuple[str, float, float | None]]:
    calls = interval.calls
    after = _after_clipping(interval)
    by_hand = taken_back >= LARGE and after is not None and math.isclose(after * taken_back, 1.0, rel_tol=0.1)
    implicit = [not entry.facts["explicit"] for entry in interval.entries if entry.call == "unscale"]
    found = []
    for index, entry in enumerate(interval.entries):
        if entry.call != "clip":
            continue
        if "backward" in calls[:index]:
            by_scaler = bool(implicit) and implicit[-1] and "unscale" not in calls[:index]
            scaled = by_scaler or by_hand
            place = "scaled" if scaled else "right"
        else:
            place = "before backward" if "forward" in calls[:index] or "batch" in calls[:index] else "after step"
        limit, norm = entry.facts["limit"], entry.facts.get("norm")
        found.append((place, float(limit), None if norm is None else float(norm)))  # type: ignore[arg-type]
    return found


_SAID = {
    "after step": "Gradients are clipped after step(): the step has used them already",
    "before backward": "Gradients are clipped before backward(): those that the step uses do not exist yet",
    "empty": "Clipping meets no gradient at all: it is given other parameters than those that are trained, or a generator that is used up",
}


def _misplaced(subject: Subject, clipping: _Clipping, reading: Reading) -> Finding:
    sizes = np.asarray(gradient_sizes(subject.run))
    if not len(sizes):
        sizes = np.asarray(clipping.norms)
    limit = clipping.limit
    if clipping.by_value:  # some element is above the limit for sure only if the norm is above that of them all
        count = sum(p.numel() for p in subject.training.model.parameters())
        limit *= math.sqrt(max(count, 1))
    share = float(np.mean(~(sizes <= limit))) if len(sizes) else 0.0  # what is not finite is above any limit
    finite = sizes[np.isfinite(sizes)]
    effect = (
        f"{share:.0%} of the gradients were above the limit of {clipping.limit:g}, the largest was {finite.max(initial=0.0):.3g}"
        if share
        else f"no gradient was above the limit of {clipping.limit:g}, so that nothing would have changed"
    )
    return finding(
        INFO,
        rule(share),
        f"No. {_SAID[clipping.place]}; {effect}.",
        evidence={"above_limit": share, "limit": clipping.limit},
        remedy=Remedy(
            "Clip the parameters that the optimizer steps, after backward() and before step().",
            f"loss.backward()\ntorch.nn.utils.clip_grad_norm_(model.parameters(), {clipping.limit:g})\noptimizer.step()",
            _try_clipping(subject, clipping) if share else None,
        ),
        where=_line(reading),
        basis="structure",
    )


def _scaled(subject: Subject, clipping: _Clipping, reading: Reading) -> Finding:
    """Clipping that meets gradients with the scale of the loss on them: its limit is as much lower."""
    above = float(np.mean([not norm <= clipping.limit for norm in clipping.norms])) if clipping.norms else None
    tried = _try_unscaled(subject, clipping) if clipping.scale > 1 and above else None
    scale = f", {clipping.scale:,.0f}," if clipping.scale > 1 else ""
    effect = f"the limit of {clipping.limit:g} is as if it were {clipping.limit / clipping.scale:.3g}"
    if above is not None:
        effect += f", and {above:.0%} of the gradients were above it"
    by_hand = _taken_back(subject) > 1
    unscale = (
        f"for parameter in model.parameters():\n    parameter.grad /= {clipping.scale:g}\n"
        if by_hand
        else "scaler.unscale_(optimizer)\n"
    )
    message = f"No. Gradients are clipped while the scale of the loss{scale} is still on them: {effect}."
    return finding(
        INFO,
        _severity(subject, tried, above),
        f"{message} {tried.text}" if tried is not None else message,
        evidence={"limit": clipping.limit, "scale": clipping.scale} | ({} if above is None else {"above_limit": above}),
        remedy=Remedy(
            "Take the scale from the gradients before you clip them.",
            f"{unscale}torch.nn.utils.clip_grad_norm_(model.parameters(), {clipping.limit:g})\n"
            + ("optimizer.step()" if by_hand else "scaler.step(optimizer)"),
            tried.trial if tried is not None else None,
        ),
        where=_line(reading),
        basis="experiment" if tried is not None else "structure",
    )


def _severity(subject: Subject, tried: Race | None, above: float | None) -> Severity:
    if tried is not None:
        return tried.severity
    left = known_left(subject)
    return "info" if above == 0 or (left is not None and left <= BADLY) else "warning"


def _try_unscaled(subject: Subject, clipping: _Clipping) -> Race | None:
    """Copies train without the scale of the loss: theirs is the lower limit beside the one that was meant."""
    if clipping.by_value:
        return None
    return race(subject, _clipping_at(clipping.limit), without=_clipping_at(clipping.limit / clipping.scale))


def _clipping_at(limit: float) -> Change:
    def before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        clip_grad_norm_(parameters_of(optimizer), limit)

    def change(copied: TrainingCopy) -> None:
        for optimizer in copied.optimizers:
            optimizer.register_step_pre_hook(before_step)

    return change


def rule(share: float) -> Severity:
    """Severity for the share of gradients that were above the limit of a clipping that does nothing.

    Example:
        >>> rule(0.7), rule(0.1), rule(0.0)
        ('error', 'warning', 'info')
    """
    return "error" if share >= OFTEN else "warning" if share > 0 else "info"


def _try_clipping(subject: Subject, clipping: _Clipping) -> Trial | None:
    clip: Callable[..., Any] = clip_grad_value_ if clipping.by_value else clip_grad_norm_

    def before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        clip(parameters_of(optimizer), clipping.limit)

    def clip_before_steps(copied: TrainingCopy) -> None:
        for optimizer in copied.optimizers:
            optimizer.register_step_pre_hook(before_step)

    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        batches, judge = source.for_training(_TRIAL_STEPS)
        return Arm(batches, judge), Arm(batches, judge, change=clip_before_steps)

    return try_out(subject, arms, steps=_TRIAL_STEPS)


def _line(reading: Reading) -> str | None:
    clip: Event | None = reading.first("clip")
    return clip.place if clip is not None else None


CHECK = Check(INFO, look, trial_chart)
