"""Panel: what the network says of a few items that stay the same, over time."""

from __future__ import annotations

import numpy as np

from nn_inspector.history import Chart, Heat, Run, row_labels
from nn_inspector.panels.over_time import columns, held, no_cells
from nn_inspector.panels.panel import Panel, Selection
from nn_inspector.probes import FIXED_FIELDS

NOTHING = 'Not measured. watch(..., train_loader=loader, probes="full") measures it: it asks a copy of the model, now and then.'


def picture(run: Run, selection: Selection) -> Chart:
    """Probability of what is true for each of a few items that stay the same, or the number predicted, over time."""
    series = run.series("fixed_batch", "train")
    if not len(series):
        return no_cells("item", _why_not(run) if run.steps else "")
    answers = held(series, columns(run, [series])).reshape(
        -1, len(FIXED_FIELDS), series.values.shape[1] // len(FIXED_FIELDS)
    )
    fields = {name: answers[:, place].T for place, name in enumerate(FIXED_FIELDS)}
    targets = fields["target"][:, -1]
    order = np.argsort(targets, kind="stable")
    said, true = fields["prediction"][order, -1], targets[order]
    if np.isfinite(fields["probability"]).any():
        heat = Heat(fields["probability"][order], _end(run), 0.0, 1.0, "probability of what is true")
        names = [f"class {target:.0f}" for target in true] if np.isfinite(true).any() else _numbered(order)
        remarks = [_of_class(*pair) for pair in zip(said, true, strict=True)]
        note = "Some items of the first training batch, asked in evaluation mode. At the right: what is said of them."
    else:
        heat = Heat(fields["prediction"][order], _end(run), *_range(true), "prediction, in the range of the targets")
        names = [f"target {target:.3g}" for target in true]
        remarks = [f"now {number:.3g}" for number in said]
        note = (
            "Some items of the first training batch, asked in evaluation mode, from the least target to the greatest."
        )
    return Chart(
        kind="rows",
        x_label="step",
        y_label="item",
        series={},
        labels=row_labels(names),
        remarks=tuple(remarks) if any(remarks) else (),
        heat=heat,
        top=_end(run),
        note=note,
    )


def _why_not(run: Run) -> str:
    reason = next((entry.facts["reason"] for entry in run.trace if entry.call == "fixed_batch"), None)
    return f"Predictions for a fixed batch are not followed. {reason}" if reason is not None else NOTHING


def _end(run: Run) -> float:
    return float(max(run.steps, 1))


def _numbered(order: np.ndarray) -> list[str]:
    return [f"item {place}" for place in order]


def _of_class(said: float, true: float) -> str:
    if not np.isfinite(true):
        return ""
    return f"✔ {said:.0f}" if said == true else f"✖ {said:.0f}"


def _range(targets: np.ndarray) -> tuple[float, float]:
    """The least and the greatest target; a little around it where all are the same."""
    low, high = float(np.nanmin(targets)), float(np.nanmax(targets))
    return (low, high) if low < high else (low - 1.0, high + 1.0)


PANEL = Panel(
    name="fixed_batch",
    title="Predictions over time",
    healthy="Healthy: rows turn bright and stay so; numbers part by colour. Flicker: the rate is too large.",
    picture=picture,
    checks=("constant_predictions", "one_batch_fit", "output_bias", "small_subset_fit", "zero_input"),
    related=("learning_rate", "no_learning"),
)
