"""Panel: numbers that the training logs of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve, Run, Series
from nn_inspector.panels.loss import best_of, decimate, marks_of, said_of, smoothed
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.panels.sense import better, majority
from nn_inspector.probes import QUANTITIES

MOST_METRICS = 5
MOST_POINTS = 200
"""More results of validation are a line without markers."""

NOTHING = "Nothing was logged: inspector.log(accuracy=...) or inspector.validation(accuracy=...) does it."


def picture(run: Run, selection: Selection) -> Chart:
    """What was logged by `inspector.log()`, smoothed, and by `inspector.validation()`, the best marked; accuracy by chance."""
    names = [name for name in run.quantities() if name not in QUANTITIES]
    log = selection.log_metrics
    series: dict[str, Curve] = {}
    best: dict[str, tuple[int, float]] = {}
    for place, name in enumerate(names[:MOST_METRICS]):
        train, validation = run.series(name, "train"), run.series(name, "validation")
        if len(train):
            series[f"{name}, train"] = replace(smoothed(train, log=log), colour=place)
        if len(validation):
            series[f"{name}, validation"] = replace(_of_validation(validation), colour=place)
            sense = better(name)
            found = best_of(validation, sense) if sense is not None else None
            best |= {name: found} if found is not None else {}
    series |= marks_of(list(best.values()), "best of validation") if best else {}
    note = _note(best, len(names) - MOST_METRICS)
    levels = _levels(run, names[:MOST_METRICS])
    return Chart(
        "lines", "step", "value", series, levels=levels, log=log, note=note if series else NOTHING if run.steps else ""
    )


def _of_validation(validation: Series) -> Curve:
    if len(validation) >= MOST_POINTS:
        return decimate(validation)
    return Curve(validation.steps.astype(np.float64), validation.values, "points")


def _levels(run: Run, names: Sequence[str]) -> dict[str, float]:
    """Accuracy by chance, of shares and of percent."""
    known = [share for name in names if (share := majority(run, name, _highest(run, name))) is not None]
    return {f"always the most frequent class{', in %' * (share > 1)}": share for share in known}


def _highest(run: Run, name: str) -> float:
    values = np.concatenate([run.series(name, source).values for source in ("train", "validation")])
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _note(best: Mapping[str, tuple[int, float]], left_out: int) -> str:
    notes = [f"Best {name}: {said_of(*found)}." for name, found in best.items()]
    notes += [f"{left_out} more numbers are not shown."] if left_out > 0 else []
    return " ".join(notes)


PANEL = Panel(
    name="metrics",
    title="Metrics",
    healthy="Healthy: they get better as the loss falls, those of validation nearly as much as those of training.",
    picture=picture,
    checks=("human_baseline", "simpler_baseline", "split_shift", "training_length"),
    comparable=True,
)
