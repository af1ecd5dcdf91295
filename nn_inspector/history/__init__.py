"""Measurements over time."""

from nn_inspector.history.chart import Chart, Curve, curve, row_labels
from nn_inspector.history.finding import SEVERITIES, Evidence, Finding, Remedy, Severity, Trial
from nn_inspector.history.run import Run
from nn_inspector.history.series import Series

__all__ = [
    "SEVERITIES",
    "Chart",
    "Curve",
    "Evidence",
    "Finding",
    "Remedy",
    "Run",
    "Series",
    "Severity",
    "Trial",
    "curve",
    "row_labels",
]
