"""In one line a run: in what the run that is shown differs from one behind it, and what left the other's range first."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nn_inspector.history import Run
from nn_inspector.history.differences import Difference, differences
from nn_inspector.history.first_change import first_changes
from nn_inspector.history.places import FOLDER

_FURTHER = 2.0
"""While it trains, a run is compared anew when it has come so many times as far: comparing reads all of it."""

_LETTERS = 24
"""Of a value that is named."""


class Against:
    """A run against others.

    Args:
        run: the one that is shown.
        others: those that it is compared with; each is taken as sound.
    """

    def __init__(self, run: Run, others: Sequence[Run]) -> None:
        self._run = run
        self._others = others
        self._compared_at = -1
        self._lines: list[str] = []

    def html(self, *, trains: bool) -> str:
        """The lines, which are of a while ago where a training runs."""
        steps = self._run.steps
        if steps != self._compared_at and not (trains and 0 <= steps < _FURTHER * self._compared_at):
            self._compared_at = steps
            self._lines = [self._line(other) for other in self._others]
        return "".join(f"<div>{escape(line)}</div>" for line in self._lines)

    def _line(self, other: Run) -> str:
        differ = differences([self._run, other])
        more = f", and {len(differ) - 1} more differ" if len(differ) > 1 else ""
        said = f"{_in_words(differ[0])}{more}" if differ else "no parameter differs"
        change = next(iter(first_changes(self._run, other)), None)
        left = f"First out of its range: {change.text}" if change is not None else "Nothing left its range"
        return f"Against {other.name}: {said}. {left}. {_comparison(self._run, other)} shows all of it."


def _comparison(*runs: Run) -> str:
    """What is to be written to compare these runs, as far as their files can be named."""
    are_named = all(run.path is not None and run.path.parent.name == FOLDER for run in runs)
    names = ", ".join(f'"{run.name}"' for run in runs)
    return f"nni.compare([{names}])" if are_named else "nni.compare()"


def _in_words(difference: Difference) -> str:
    mine, other = (text if len(text) <= _LETTERS else f"{text[:_LETTERS]}…" for text in difference.values)
    return f"{difference.name} is {mine}, there {other}"
