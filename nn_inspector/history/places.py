"""Where a run is written: what the `run` argument of `watch()` means."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

from nn_inspector.errors import ArgumentError, describe

FOLDER = "nn_inspector_runs"
SUFFIX = ".sqlite"

_LONGEST = 100
_NAME = re.compile(r"\w[\w .+=,()\[\]-]*")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that mean devices on Windows, where the folder may be copied to."""


def run_path(run: str | os.PathLike[str] | bool | None, model: str, *, automatic: bool) -> Path | None:
    """The file that a run is to be written to, or None to keep it in memory only.

    Args:
        run: a name, a path (with a separator, or ending in .sqlite), False for memory only, or None for what is usual.
        model: class of the model, for the name of a file that the user did not name.
        automatic: whether None means a file of its own name: so in a notebook.

    Raises:
        ArgumentError: the name cannot be the name of a file everywhere.

    Example:
        >>> run_path("wider layers", "Net", automatic=False) == Path.cwd() / "nn_inspector_runs" / "wider layers.sqlite"
        True
        >>> run_path(None, "Net", automatic=False) is None
        True
    """
    if run is False or (run is None and not automatic):
        return None
    if run is None:
        now = dt.datetime.now().astimezone().strftime("%Y-%m-%d-%H-%M-%S")
        return Path.cwd() / FOLDER / f"{re.sub(r'[^A-Za-z0-9_]', '', model) or 'run'}-{now}{SUFFIX}"
    if not isinstance(run, str | os.PathLike):
        raise ArgumentError("run", expected="a name or a path", got=describe(run), advice=_ADVICE)
    text = os.fspath(run)
    if "\0" in text:
        raise ArgumentError("run", expected="a name or a path", got=repr(text), advice=_ADVICE)
    if not isinstance(run, str) or "/" in text or os.sep in text or text.endswith(SUFFIX):
        return _as_path(text)
    sound = _NAME.fullmatch(text) and not _RESERVED.fullmatch(text) and not text.endswith((" ", "."))
    if not sound or len(text) > _LONGEST:
        got = repr(text) if len(text) <= _LONGEST else f"{len(text)} characters"
        raise ArgumentError("run", expected="a name of letters, digits and - _ . + = , ( )", got=got, advice=_ADVICE)
    return Path.cwd() / FOLDER / f"{text}{SUFFIX}"


_ADVICE = 'For example run="wider layers", or run="folder/file.sqlite", or run=False to keep the run in memory.'


def _as_path(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if path.is_dir() or text.endswith(("/", os.sep)):
        raise ArgumentError("run", expected="a file", got=f"the folder {text!r}", advice=_ADVICE)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
