"""Whether dropout leaves too little of the signal to learn from."""

from __future__ import annotations

from nn_inspector.beginning import dropout_of
from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.race import Race, race
from nn_inspector.experiments import TrainingCopy
from nn_inspector.history import Finding, Remedy, Severity

SUSPECT = 0.7
"""Dropout that takes away so much is tried with less; 0.1 to 0.5 is usual."""

USUAL = 0.2

KEEP = 0.8
"""So much is no dropout of anybody: other frameworks took the share that is kept, and 0.8 and 0.9 were usual there."""

NOTHING = 0.7
"""A training that has more than this still to learn has missed most of it. One that has less may be regularized on purpose:
what a copy without it learns faster, it may have learned by heart."""


_LONGER = 720
"""Steps of a second trial, where a training learned next to nothing in more steps than a short one makes: a task may need them."""


def much_dropout(info: CheckInfo, subject: Subject) -> Finding | None:
    """A finding, if there is unusually much dropout and a copy with less of it learns most of what the training missed."""
    strong = {place: p for place, p in dropout_of(subject.training.model).items() if p >= SUSPECT}
    if not strong:
        return None
    found = race(subject, _with_less)
    if found is not None and found.severity == "info" and found.left > NOTHING:
        found = race(subject, _with_less, most=_LONGER)
    place, p = max(strong.items(), key=lambda pair: pair[1])
    taken = f"{place} = {p:g}" if len(strong) == 1 else f"{place} = {p:g}, and {len(strong) - 1} more like it"
    evidence = {"dropout": p}
    severity = _severity(found, p)
    if found is None or severity == "info":
        message = f"Dropout is strong ({taken}), but no harm was seen."
        return finding(info, "info", message, evidence=evidence, where=place)
    return finding(
        info,
        severity,
        f"Yes: dropout takes {p:.0%} of the signal away ({taken}). {found.text}",
        evidence=evidence,
        remedy=Remedy(
            f"Lower the dropout to {USUAL:g} first. The number is the share that is dropped, not the share that is kept.",
            f"for module in model.modules():\n    if isinstance(module, torch.nn.Dropout):\n        module.p = {USUAL:g}",
            found.trial,
        ),
        where=place,
        basis="experiment",
    )


def _severity(found: Race | None, p: float) -> Severity:
    if found is None or found.severity == "info":
        return "info"
    if found.left > NOTHING:
        return "error"
    return "warning" if p >= KEEP else "info"


def _with_less(copied: TrainingCopy) -> None:
    for place, p in dropout_of(copied.model).items():
        if p >= SUSPECT:
            name, _, attribute = place.rpartition(".")
            setattr(copied.model.get_submodule(name), attribute, USUAL)
