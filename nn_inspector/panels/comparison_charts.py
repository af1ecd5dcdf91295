"""Pictures of several runs: their losses, and a quantity that left the range of another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Curve, Run
from nn_inspector.history.compared import series_of
from nn_inspector.history.first_change import Change
from nn_inspector.panels.comparison_runs import ComparedRuns
from nn_inspector.panels.learning_rate import stairs
from nn_inspector.panels.loss import cut_at, decimate, smoothed


def losses(compared: ComparedRuns, *, log: bool) -> Chart:
    """Smoothed loss of training and validation loss of each run; a number at the end tells them apart."""
    series: dict[str, Curve] = {}
    ends: list[float] = []
    for place, (name, run) in enumerate(zip(compared.names, compared.runs, strict=True)):
        train, validation = run.series("loss", "train"), run.series("loss", "validation")
        if len(train):
            curve = smoothed(train, log=log)
            series[f"{name}, train"] = replace(curve, colour=place, sign=str(place + 1))
        if len(validation):
            steps = validation.steps.astype(np.float64)
            series[f"{name}, validation"] = Curve(steps, validation.values, "points", colour=place, sign=str(place + 1))
        top = cut_at(train)
        if top is not None:
            ends.append(top)
    top = max(ends) if ends and not log else None
    notes = [f"A loss has exploded: the picture ends at {top:.3g}. Choose “logarithmic” to see it all."] if top else []
    notes += [f"{compared.left_out} more runs are not shown."] if compared.left_out else []
    return Chart("lines", "step", "loss", series, top=top, log=log, note=" ".join(notes))


def change(compared: ComparedRuns, place: int | None, what: Change | None) -> Chart:
    """A quantity of a run, over that of the reference, with a mark where it left its range.

    Args:
        compared: the runs.
        place: which of them changed; None if none has.
        what: in what.
    """
    if place is None or what is None:
        return Chart("lines", "step", "", {})
    past = _curve(compared.reference_of, what) if isinstance(compared.reference_of, Run) else None
    series = {compared.reference_name: replace(past, role="faint")} if past is not None else {}
    own = _curve(compared.runs[place], what)
    if own is not None:
        series[compared.names[place]] = replace(own, colour=place)
    band = (what.low, what.high, compared.reference_name) if past is None and what.low < what.high else None
    positive = [part for one in series.values() for part in one.y[np.isfinite(one.y)] if part > 0]
    log = what.quantity.kind != "share" and bool(positive) and max(positive) > 10 * min(positive)
    return Chart(
        "lines",
        "step",
        what.quantity.of(what.source),
        series,
        events=((float(what.step), "left the range"),),
        levels={"reference": what.low} if past is None and what.low == what.high else {},
        band=band,
        log=log,
    )


def _curve(run: Run, what: Change) -> Curve | None:
    series = series_of(run, what.quantity.name).get(what.source)
    if series is None:
        return None
    return stairs(series, run.steps) if what.quantity.name == "learning_rate" else decimate(series)
