"""Finds out why a PyTorch network does not learn.

import nn_inspector as nni
inspector = nni.watch(model, optimizer, loss_fn, train_loader=train, val_loader=val)
...  # your training loop, unchanged
inspector.diagnose()
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from nn_inspector._version import __version__
from nn_inspector.assertions import assert_healthy
from nn_inspector.checks import Check, CheckInfo, Subject, catalog, explain, register_check, unregister_check
from nn_inspector.diagnosis import Diagnosis
from nn_inspector.errors import (
    AmbiguousError,
    ArgumentError,
    ExperimentError,
    InspectorError,
    RunFileError,
    TrainingStopped,
)
from nn_inspector.history import Chart, Curve, Finding, Remedy, Run, Series, Trial, open_run, runs
from nn_inspector.inspector import Inspector
from nn_inspector.overhead import Overhead
from nn_inspector.support import debug_info
from nn_inspector.troubles import InspectorWarning
from nn_inspector.views import open_view
from nn_inspector.watching import watch

__all__ = [
    "AmbiguousError",
    "ArgumentError",
    "Chart",
    "Check",
    "CheckInfo",
    "Curve",
    "Diagnosis",
    "ExperimentError",
    "Finding",
    "Inspector",
    "InspectorError",
    "InspectorWarning",
    "Overhead",
    "Remedy",
    "Run",
    "RunFileError",
    "Series",
    "Subject",
    "TrainingStopped",
    "Trial",
    "__version__",
    "assert_healthy",
    "catalog",
    "compare",
    "debug_info",
    "explain",
    "load_ipython_extension",
    "open_run",
    "register_check",
    "runs",
    "unload_ipython_extension",
    "unregister_check",
    "watch",
    "wizard",
]


def compare(
    runs: Run | Inspector | str | os.PathLike[str] | Sequence[Run | Inspector | str | os.PathLike[str]],
    *,
    reference: Run | Inspector | str | os.PathLike[str] | range | tuple[int, int] | None = None,
) -> Any:
    """Show several runs beside each other, in a notebook: losses, in what they differ, and what changed first.

    Args:
        runs: runs, inspectors, or run files by name or path; the first six are shown.
        reference: what the others are compared with. A run that was sound; None: the first one. Or a sound stretch of steps,
            such as `range(100, 300)`, with which all later steps of the same run are compared.

    Returns:
        The view, a widget that shows itself as the result of a cell. It names the layer and the quantity that left the
        reference's range first, with the step, and draws the reference behind it.

    Raises:
        ArgumentError: something is no run, or there is nothing to compare it with.
        RunFileError: a file is no run file.
    """
    return open_view("comparison", runs, reference)


def wizard(inspector: Inspector | None = None) -> Any:
    """Walk through the checklist step by step, in a notebook.

    Args:
        inspector: what `watch()` returned. If None: the latest one, or else the wizard finds model, optimizer, loss and
            loaders among the notebook's variables and lets you correct its choice.

    Returns:
        The wizard, a widget that shows itself as the result of a cell.
    """
    return open_view("wizard", inspector)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where JupyterLab's tools find the built lab extension."""
    return [{"src": "labextension", "dest": "nn_inspector"}]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nn_inspector`: the magics, and the connection to JupyterLab's side panel."""
    from nn_inspector import ipython  # noqa: PLC0415 - IPython is asked for only by those who have it

    ipython.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nn_inspector`: nothing is left behind."""
    from nn_inspector import ipython  # noqa: PLC0415

    ipython.unload(shell)
