"""Panel: what the network says over time, of the same items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn_inspector.history import Chart, Run
from nn_inspector.panels.class_shares import class_shares
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of each class among the predictions: of the validation data after each pass, or of training batches."""
    validation = run.series("confusion", "validation")
    if len(validation):
        # a pass is noted with the number of the step that comes next: what it shows is what the step before has made
        validation = replace(validation, steps=np.maximum(validation.steps - 1, 0))
        return class_shares(run, validation, "prediction", "Of the validation data, which stay the same.")
    return class_shares(
        run, run.series("confusion", "train"), "prediction", "Of training batches: no validation was seen."
    )


PANEL = Panel(
    name="predicted_classes",
    title="Predicted classes",
    healthy="Healthy: rows come to be as bright as the classes are frequent. One bright row: always the same is said.",
    picture=picture,
    checks=("constant_predictions", "output_bias"),
)
