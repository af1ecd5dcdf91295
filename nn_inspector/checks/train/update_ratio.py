"""update_ratio: how large are the steps against the weights, layer by layer?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding
from nn_inspector.checks.train.course import Course, course_of
from nn_inspector.checks.train.hard_clip import hard_clip, race_without_clipping
from nn_inspector.errors import InspectorError
from nn_inspector.history import Chart, Finding, Remedy, curve, row_labels

INFO = CheckInfo(
    name="update_ratio",
    stage="train",
    kind="passive",
    question="Are the steps of a usual size against the weights?",
    why=(
        "A step changes each weight matrix by a share of itself, usually about a thousandth. At a millionth nothing happens in a "
        "thousand steps; at a half each step writes the weights anew, and nothing can be kept."
    ),
    how=(
        "At measured steps the norm of the update is divided by the norm of the weights, for each parameter with two axes or more. "
        "Medians between 1e-4 and 1e-1 are usual. It is a warning if half of the layers are outside and the loss is near chance "
        "as well. This is a symptom: the cause stands in another check. Where your loop clips gradients to less than a tenth, "
        "copies are trained with and without that."
    ),
    remedy="Raise the rate if all layers are below, lower it if they are above; if some are, see how the gradient gets to them.",
    sources=(
        "CS231n, Neural Networks Part 3: ratio of updates to weights, about 1e-3",
        "Braiek and Khomh, TheDeepChecker (2022): mean log10 of the ratio within -4 and -1",
    ),
    explains=("no_learning", "slow_learning"),
)

LOW, HIGH = 1e-4, 1e-1
"""Sound trainings leave this band for single layers only (zero weights at the start, small last layers)."""

POOR = 0.35
"""A training that came further has steps of a size that fits it."""

_LEAST = 5
_NAMED = 3


def look(subject: Subject) -> Finding:
    """Look at the size of the steps."""
    return _clipped(subject) or _by_layer(subject)


def _clipped(subject: Subject) -> Finding | None:
    """Clipping leaves little of each gradient, and a copy without it learns."""
    clip = hard_clip(subject.run)
    tried = race_without_clipping(subject, clip) if clip is not None else None
    if clip is None or tried is None or tried.severity == "info":
        return None
    usual = float(f"{2 * clip.norm:.1g}")
    return finding(
        INFO,
        tried.severity,
        f"No: your loop clips the gradients to a norm of {clip.limit:.3g}, and in the first steps theirs is about {clip.norm:.3g}: "
        f"{clip.limit / clip.norm:.1%} of each is left. {tried.text}",
        evidence={"limit": clip.limit, "norm": clip.norm},
        remedy=Remedy(
            f"Clip what is unusual only: a limit of {usual:g} lets the usual gradient pass.",
            f"torch.nn.utils.clip_grad_norm_(model.parameters(), {usual:g})",
            tried.trial,
        ),
        where="clip_grad_norm_",
        basis="experiment",
    )


def _by_layer(subject: Subject) -> Finding:
    ratios = layer_ratios(subject)
    low = [name for name, ratio in ratios.items() if ratio < LOW]
    high = [name for name, ratio in ratios.items() if ratio > HIGH]
    evidence = {f"ratio {name}": ratio for name, ratio in ratios.items()}
    middle = float(np.median(list(ratios.values())))
    outside = max((low, high), key=len)
    if not outside:
        message = f"Yes: in the middle layer a step changes the weights by {middle:.1g} of themselves."
        return finding(INFO, "ok", message, evidence=evidence)
    side, limit = ("below", LOW) if outside is low else ("above", HIGH)
    most = 2 * len(outside) >= len(ratios)
    named = ", ".join(outside[:_NAMED]) + (", ..." if len(outside) > _NAMED else "")
    said = f"in {len(outside)} of {len(ratios)} layers ({named}) a usual step is {side} {limit:g} of the weights"
    if not (most and _is_poor(subject)):
        return finding(INFO, "info" if most else "ok", f"Mostly: {said}.", evidence=evidence)
    message = f"No: {said}, and the loss is near chance."
    return finding(INFO, "warning", message, evidence=evidence, remedy=_remedy(low=outside is low), where=outside[0])


def layer_ratios(subject: Subject) -> Mapping[str, float]:
    """The median size of a step over that of the weights, for each parameter with two axes or more.

    Of weights that began with zeros, to which the first steps are large whatever they are, the last quarter of what was measured counts.

    Raises:
        InspectorError: too few steps were measured.
    """
    run = subject.run
    matrices = [name for name, p in subject.training.model.named_parameters() if p.dim() > 1 and p.requires_grad]
    found = {name: run.series("update_ratio", name).values for name in matrices}
    usable = {name: values[np.isfinite(values)] for name, values in found.items()}
    initial = subject.training.initial or {}
    began_with_zeros = {name for name in usable if name in initial and not bool(initial[name].any())}
    counted = {
        name: values[-max(len(values) // 4, _LEAST) :] if name in began_with_zeros else values
        for name, values in usable.items()
    }
    ratios = {name: float(np.median(values)) for name, values in counted.items() if len(usable[name]) >= _LEAST}
    if not ratios:
        raise InspectorError(
            "The size of too few steps was measured. Run your training loop for a moment, then look again."
        )
    return ratios


def chart(result: Finding) -> Chart | None:
    """The ratios as rows, with the usual band."""
    ratios = {n.removeprefix("ratio "): value for n, value in result.evidence.items() if isinstance(value, int | float)}
    if not ratios:
        return None
    band = (LOW, HIGH, "usual")
    series = {"median": curve(list(ratios.values()), "points")}
    return Chart("rows", "step over weights", "", series, row_labels(list(ratios)), band=band, log=True)


def _is_poor(subject: Subject) -> bool:
    try:
        course: Course = course_of(subject)
    except InspectorError:
        return False
    return course.end < POOR


def _remedy(*, low: bool) -> Remedy:
    change = "*= 10" if low else "/= 10"
    text = (
        "Raise the learning rate by a factor of ten; if only some layers are low, see whether the gradient reaches them."
        if low
        else "Lower the learning rate by a factor of ten, or clip the gradient."
    )
    return Remedy(text, f'for group in optimizer.param_groups:\n    group["lr"] {change}')


CHECK = Check(INFO, look, chart)
