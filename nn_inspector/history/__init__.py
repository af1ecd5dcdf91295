"""Measurements over time."""

from nn_inspector.history.chart import Chart, Curve, Heat, Role, curve, row_labels
from nn_inspector.history.earlier import earlier
from nn_inspector.history.finding import BASES, SEVERITIES, Basis, Evidence, Finding, Remedy, Severity, Trial
from nn_inspector.history.metadata import surroundings
from nn_inspector.history.nonfinite import ModuleSummary, Nonfinite
from nn_inspector.history.places import run_path
from nn_inspector.history.run import Run
from nn_inspector.history.saved_run import open_run, runs
from nn_inspector.history.series import Series

__all__ = [
    "BASES",
    "SEVERITIES",
    "Basis",
    "Chart",
    "Curve",
    "Evidence",
    "Finding",
    "Heat",
    "ModuleSummary",
    "Nonfinite",
    "Remedy",
    "Role",
    "Run",
    "Series",
    "Severity",
    "Trial",
    "curve",
    "earlier",
    "open_run",
    "row_labels",
    "run_path",
    "runs",
    "surroundings",
]
