"""What to put into a bug report."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

_PACKAGES = (
    "nn_inspector",
    "torch",
    "numpy",
    "ipywidgets",
    "bqplot",
    "ipykernel",
    "jupyterlab",
    "notebook",
    "matplotlib",
    "traitlets",
)


def debug_info() -> str:
    """Versions and surroundings as text, for a bug report. It names no path and no data.

    Example:
        >>> "torch" in debug_info()
        True
    """
    import torch  # noqa: PLC0415 - a broken torch must not break the report's module

    lines = [f"python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} is not installed")
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    lines.append(f"device {device}; in a kernel: {'ipykernel' in sys.modules}")
    return "\n".join(lines)
