"""The one place below the views that knows they exist: their names, looked up when somebody asks for one.

This is the only import that goes upwards, and it is made late: a script on a cluster never loads a widget.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_VIEWS = {
    "comparison": "nn_inspector.panels.comparison:open_comparison",
    "dashboard": "nn_inspector.panels.dashboard:open_dashboard",
    "wizard": "nn_inspector.guide.wizard:open_wizard",
    "progress": "nn_inspector.live.progress_bar:ProgressBar",
    "run_dashboard": "nn_inspector.panels.run_dashboard:open_run_dashboard",
    "report": "nn_inspector.report:write_report",
}


def open_view(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call the function that opens a view."""
    module, function = _VIEWS[name].split(":")
    return getattr(importlib.import_module(module), function)(*args, **kwargs)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code, so that there is somebody to show something to."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
