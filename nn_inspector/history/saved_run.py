"""Runs that are in files: opening one, listing a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from nn_inspector.errors import ArgumentError, InspectorError, RunFileError
from nn_inspector.history.facts import Facts
from nn_inspector.history.places import FOLDER, SUFFIX
from nn_inspector.history.reader import RunReader
from nn_inspector.history.run import Run
from nn_inspector.history.series_table import SeriesTable
from nn_inspector.probes import Measured


class SavedRun(Run):
    """A run that is read from its file; made by `open_run`."""

    def __init__(self, path: Path, *, follow: bool) -> None:
        super().__init__(path.stem, {})
        self._reader = RunReader(path)
        self._follow = follow
        self._facts = self._reader.facts()

    @property
    def path(self) -> Path:
        return self._reader.path

    @property
    def is_followed(self) -> bool:
        return self._follow

    def record(self, measurements: Iterable[Measured]) -> None:
        raise InspectorError(f"{self.path} was opened to be read: nothing can be recorded into it.")

    def close(self) -> None:
        self._reader.close()

    def _known(self) -> Facts:
        return self._reader.facts() if self._follow else self._facts

    def _table(self) -> SeriesTable:
        return self._reader

    def _forked(self) -> None:
        """The reader itself notices that it is in a child process."""


def open_run(path: str | os.PathLike[str], follow: bool = False) -> Run:  # noqa: FBT002 - part of the design's contract
    """Open a run file, whether its training is over, was killed or still runs, here or in another process.

    The file is only read. It may come from a stranger: nothing in it is executed, and sizes and types are checked.

    Args:
        path: the file, or the name of a run in `nn_inspector_runs`.
        follow: ask the file again at each question, so that a training that still runs is seen to go on. Without it, steps,
            findings and parameters are those at opening.

    Raises:
        RunFileError: it is not a run file, or is damaged.

    Example:
        >>> open_run("nothing.sqlite")
        Traceback (most recent call last):
        nn_inspector.errors.RunFileError: nothing.sqlite: expected a run file, got no such file. nni.runs() ...
    """
    file = Path(path).expanduser()
    named = Path(FOLDER) / f"{path}{SUFFIX}"
    if not file.exists() and file.name == str(path) and named.exists():
        file = named
    return SavedRun(file, follow=follow)


def runs(folder: str | os.PathLike[str] | None = None) -> list[Run]:
    """The runs in a folder, the newest first. Files that are no run files are left out.

    Args:
        folder: where to look; `nn_inspector_runs` beside the notebook or in the current folder if None.

    Raises:
        ArgumentError: there is no such folder.
    """
    place = Path(folder if folder is not None else FOLDER).expanduser()
    if folder is not None and not place.is_dir():
        raise ArgumentError(
            "folder", expected="a folder", got=repr(str(folder)), advice="Leave it out to look where watch() writes."
        )
    found: list[tuple[tuple[str, float, str], Run]] = []
    for file in place.glob(f"*{SUFFIX}"):
        try:
            run = SavedRun(file, follow=False)
            run.close()  # opened again when it is asked; a thousand runs must not need a thousand open files
            found.append(((str(run.metadata.get("started", "")), file.stat().st_mtime, file.name), run))
        except (RunFileError, OSError):
            continue
    return [run for _, run in sorted(found, key=lambda pair: pair[0], reverse=True)]
