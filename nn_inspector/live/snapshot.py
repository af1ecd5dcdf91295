"""What the side panel shows, as one small piece of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nn_inspector.checks import STAGES, Check, checks
from nn_inspector.diagnosis import Diagnosis, ranked
from nn_inspector.inspector import Inspector
from nn_inspector.live.loss_history import loss_history
from nn_inspector.live.wishes import dashboards
from nn_inspector.probes import group_name
from nn_inspector.snippets import remedy_cell

PROTOCOL = 1
"""Version of the messages between kernel and lab extension; each message carries it."""

_NOT_RAISED = {"rank": None, "symptom_of": None}


def snapshot(inspector: Inspector | None, namespace: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The checklist with its states, and how the training stands.

    Args:
        inspector: whose; None if nothing is watched yet.
        namespace: the notebook's variables, whose names remedies are written with.

    Returns:
        {"version", "training": {...}, "dashboards": [...], "problems": [...], "checks": [...]}; numbers that are not finite are None.
    """
    standing = _standing(inspector)
    return {
        "version": PROTOCOL,
        "training": _training(inspector),
        "dashboards": dashboards(),
        "problems": list(inspector.problems) if inspector is not None else [],
        "checks": [
            _row(check, inspector, namespace or {}) | standing.get(check.info.name, _NOT_RAISED) for check in checks()
        ],
    }


def _standing(inspector: Inspector | None) -> dict[str, dict[str, Any]]:
    """Of each error and warning: its place in the order of suspicion, and the cause that explains it."""
    if inspector is None:
        return {}
    diagnosis = Diagnosis(ranked(inspector.run.findings), {})
    found: dict[str, dict[str, Any]] = {
        f.check: {"rank": rank, "symptom_of": None} for rank, f in enumerate(diagnosis.findings) if f.raised
    }
    for cause in reversed(diagnosis.causes):
        for symptom in diagnosis.symptoms(cause):
            found[symptom.check]["symptom_of"] = cause.check
    return found


def _training(inspector: Inspector | None) -> dict[str, Any]:
    if inspector is None:
        return {"state": "none"}
    run = inspector.run
    epochs = run.epochs("train")
    return {
        "state": _state(inspector),
        "model": run.parameters["model"],
        "step": run.steps,
        "epoch": epochs[-1].number + 1 if epochs else None,
        "loss": _finite(run.last("loss", "train")),
        "validation_loss": _finite(run.last("loss", "validation")),
        "learning_rate": _finite(run.last("learning_rate", group_name(0, 0))),
        "overhead": _finite(inspector.overhead.share),
        "history": loss_history(run),
    }


def _state(inspector: Inspector) -> str:
    if not inspector.is_training:
        return "idle"
    return "paused" if inspector.is_paused else "running"


def _row(check: Check, inspector: Inspector | None, namespace: Mapping[str, Any]) -> dict[str, Any]:
    info = check.info
    finding = inspector.run.finding(info.name) if inspector is not None else None
    remedy = finding.remedy if finding is not None and finding.raised else None
    return {
        "name": info.name,
        "title": info.title,
        "stage": info.stage,
        "stage_title": STAGES[info.stage],
        "question": info.question,
        "why": info.why,
        "state": finding.severity if finding is not None else "open",
        "message": finding.message if finding is not None else None,
        "remedy": remedy.text if remedy is not None else None,
        "tried": remedy.tried.text if remedy is not None and remedy.tried is not None else None,
        "code": remedy_cell(finding, inspector, namespace) if remedy and finding and inspector else None,
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
