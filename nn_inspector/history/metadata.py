"""Where and with what a training was made, so that it can be made again."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import platform
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

MOST_SOURCE = 200_000
"""So many characters of the notebook's cells are kept, the latest first."""


def surroundings() -> dict[str, Any]:
    """Versions, random seed, states of the random generators, time, git commit and the notebook's cells.

    Of Python's and NumPy's own generators the seed cannot be known afterwards: two runs that began in the same state have
    the same checksum of it. Nothing is drawn.

    Example:
        >>> surroundings()["seed"] == torch.initial_seed()
        True
    """
    return {
        "started": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "seed": torch.initial_seed(),
        "random_states": random_states(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": str(torch.__version__),
        "numpy": str(np.__version__),
        "nn_inspector": _own_version(),
        "git_commit": git_commit(Path.cwd()),
        "cells": notebook_cells(),
    }


def random_states() -> dict[str, str]:
    """Checksums of the states of the global generators of Python, NumPy and PyTorch, which stay as they are.

    Example:
        >>> random_states() == random_states()
        True
    """
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - the user's
        "torch": torch.get_rng_state().numpy(),
    }
    return {
        name: hashlib.blake2b(_spelled(state).encode(), digest_size=8).hexdigest() for name, state in states.items()
    }


def _spelled(state: Any) -> str:
    """All numbers of a state, also of the long arrays in it."""
    if isinstance(state, dict):
        return ",".join(f"{name}:{_spelled(part)}" for name, part in state.items())
    return str(state.tolist()) if isinstance(state, np.ndarray) else str(state)


def notebook_cells() -> list[str]:
    """The cells that this notebook ran so far, in their order; empty outside IPython."""
    kept: list[str] = []
    size = 0
    for cell in reversed(_history()):
        size += len(cell)
        if size > MOST_SOURCE:
            break
        kept.append(cell)
    return kept[::-1]


def count_cells() -> int:
    """How many cells ran so far."""
    return len(_history())


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out in a folder, read without running git; None if there is none.

    Example:
        >>> git_commit(Path("/")) is None
        True
    """
    try:
        git = next((place / ".git" for place in [folder, *folder.parents] if (place / ".git").exists()), None)
        if git is None:
            return None
        if git.is_file():  # a worktree or submodule
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        return _resolve(git, head.removeprefix("ref:").strip()) if head.startswith("ref:") else head
    except (OSError, UnicodeError):
        return None


def _resolve(git: Path, ref: str) -> str | None:
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.exists() else git
    for place in (git, shared):
        if (place / ref).is_file():
            return (place / ref).read_text(encoding="utf-8").strip()
    packed = shared / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.exists() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), None)


def _history() -> list[str]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    cells = shell.user_ns.get("In", []) if shell is not None else []
    return [cell for cell in list(cells) if isinstance(cell, str) and cell]


def _own_version() -> str | None:
    try:
        return importlib.metadata.version("nn_inspector")
    except importlib.metadata.PackageNotFoundError:
        return None
