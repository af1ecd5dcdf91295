"""Panel: which labels stand beside each other in the batches."""

from __future__ import annotations

from dataclasses import replace

from nn_inspector.history import Chart, Run
from nn_inspector.panels.class_shares import class_shares
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of each class among the labels of the measured training batches, and how long the sequences in them are."""
    chart = class_shares(
        run,
        run.series("confusion", "train"),
        "label",
        "Each column is the latest measured batch then, or of older ones the mean of several.",
    )
    return replace(chart, note=" ".join(filter(None, (chart.note, _lengths(run)))))


def _lengths(run: Run) -> str:
    found = next((epoch.lengths for epoch in reversed(run.epochs("train")) if epoch.lengths.sequences), None)
    if found is None:
        return ""
    if found.shortest == found.longest:
        return f"Sequences have {found.longest:,} elements."
    padding = f"; {found.padding:.0%} of the places are padding" if found.padding else ""
    return f"Sequences have {found.shortest:,} to {found.longest:,} elements, {found.mean:.3g} on average{padding}."


PANEL = Panel(
    name="batch_labels",
    title="Labels in batches",
    healthy="Healthy: all rows alike, without order. Stripes or stairs: the items come sorted by class.",
    picture=picture,
    checks=("batch_balance", "label_balance", "shuffling"),
)
