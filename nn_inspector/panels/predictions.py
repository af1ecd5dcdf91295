"""Panel: whether the network says the same for everything."""

from __future__ import annotations

from nn_inspector.history import Chart, Run
from nn_inspector.panels.loss import decimate, smoothed
from nn_inspector.panels.panel import Panel, Selection


def picture(run: Run, selection: Selection) -> Chart:
    """Share of a batch that gets the most frequent prediction, beside the share of the most frequent label."""
    labels, said = run.series("target_top_share", "train"), run.series("prediction_top_share", "train")
    if len(said):
        series = {"most frequent label": decimate(labels, "faint"), "most frequent prediction": smoothed(said)}
        return Chart("lines", "step", "share of the batch", series, top=1.0)
    spread = run.series("prediction_spread", "train")
    targets = run.series("target_spread", "train")
    series = {"targets": decimate(targets, "faint")} if len(targets) else {}
    series |= {"predictions": smoothed(spread)} if len(spread) else {}
    return Chart("lines", "step", "spread within a batch", series)


PANEL = Panel(
    name="predictions",
    title="Predictions",
    healthy="Healthy: predictions come to vary as much as the labels do. All the same means that nothing is learned.",
    picture=picture,
    checks=("constant_predictions", "loss_match", "output_layer", "target_scale", "zero_input"),
)
