"""weight_spread: do the weights keep their size while the network trains?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, row_chart
from nn_inspector.checks.symptoms import NOT_LEARNING
from nn_inspector.checks.train.standstill import got_nowhere
from nn_inspector.errors import InspectorError
from nn_inspector.history import Evidence, Finding, Remedy

INFO = CheckInfo(
    name="weight_spread",
    stage="train",
    kind="passive",
    question="Do the weights keep their size while the network trains?",
    why=(
        "The weights of a sound training move by a part of their size, and keep that size by and large. Where a layer grows "
        "tenfold the steps are too large for it; where it shrinks to a tenth, weight decay or a penalty eats it up."
    ),
    how=(
        "The norm of each weight matrix is compared with what it was before the first step. It is a warning if half of them grew tenfold or "
        "shrank to a tenth and the training did badly. This is a symptom: the cause stands in another check."
    ),
    remedy="If they grow, lower the rate or clip the gradient. If they shrink, lower weight_decay.",
    sources=("Braiek and Khomh, TheDeepChecker (2022): weights that diverge or vanish",),
    explains=NOT_LEARNING,
)

GROWN, SHRUNK = 10.0, 0.1
"""Sound trainings that begin with small weights on purpose grow some of their layers threefold."""


def look(subject: Subject) -> Finding:
    """Follow the size of each weight matrix."""
    changes = changes_of(subject)
    if not changes:
        raise InspectorError("No step was seen yet. Run your training loop for a moment, then look again.")
    evidence: Evidence = dict(changes)
    grown = [name for name, change in changes.items() if change > GROWN]
    shrunk = [name for name, change in changes.items() if change < SHRUNK]
    outside = max((grown, shrunk), key=len)
    if not outside:
        low, high = min(changes.values()), max(changes.values())
        return finding(INFO, "ok", f"Yes: they are {low:.2g} to {high:.2g} times what they were.", evidence=evidence)
    fate = "grew more than tenfold" if outside is grown else "shrank to less than a tenth"
    said = f"{len(outside)} of {len(changes)} weight matrices {fate} ({outside[0]}: {changes[outside[0]]:.2g} times)"
    if 2 * len(outside) < len(changes) or not got_nowhere(subject):
        return finding(INFO, "info", f"Mostly: {said}.", evidence=evidence, where=outside[0])
    if outside is grown:
        remedy = Remedy(
            "Lower the learning rate, or clip the gradient.",
            'for group in optimizer.param_groups:\n    group["lr"] /= 10',
        )
    else:
        remedy = Remedy("Lower weight_decay.", 'for group in optimizer.param_groups:\n    group["weight_decay"] = 1e-4')
    message = f"No: {said}, and hardly anything was learned. The cause may lie elsewhere."
    return finding(INFO, "warning", message, evidence=evidence, remedy=remedy, where=outside[0])


def changes_of(subject: Subject) -> Mapping[str, float]:
    """The norm of each weight matrix now over that at the beginning; those that began at zero are left out.

    Where the first weights are not known, or those of now are no numbers, by the measured steps.
    """
    run, initial = subject.run, subject.training.initial or {}
    found: dict[str, float] = {}
    for name, parameter in subject.training.model.named_parameters():
        if parameter.dim() < 2 or run.steps == 0:
            continue
        norms = run.series("weight_norm", name).values
        norms = norms[np.isfinite(norms)]
        now = float(parameter.detach().norm())
        first = float(initial[name].norm()) if name in initial else float(norms[0]) if len(norms) else 0.0
        last = now if np.isfinite(now) else float(norms[-1]) if len(norms) else 0.0
        if first > 0:
            found[name] = last / first
    return found


CHECK = Check(INFO, look, row_chart("times the size at the beginning"))
