"""Panel: which labels stand beside each other in the batches."""

from __future__ import annotations

from nn_inspector.history import Chart, Run
from nn_inspector.panels.class_shares import class_shares
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of each class among the labels of the measured training batches."""
    return class_shares(
        run,
        run.series("confusion", "train"),
        "label",
        "Each column is the latest measured batch then, or of older ones the mean of several.",
    )


PANEL = Panel(
    name="batch_labels",
    title="Labels in batches",
    healthy="Healthy: all rows alike, without order. Stripes or stairs: the items come sorted by class.",
    picture=picture,
    checks=("batch_balance", "label_balance", "shuffling"),
)
