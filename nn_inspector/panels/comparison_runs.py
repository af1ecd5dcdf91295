"""What `compare()` was given: runs, and what they are compared with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from nn_inspector.errors import ArgumentError, describe
from nn_inspector.history import Run, open_run
from nn_inspector.history.first_change import Change, first_changes
from nn_inspector.inspector import Inspector

MOST_RUNS = 6
"""So many have a colour each."""

AnyRun = Run | Inspector | str | os.PathLike[str]
Reference = AnyRun | range | tuple[int, int] | None

_ADVICE = 'For example nni.compare(["first", "second"]), or nni.compare(nni.runs()[:3]).'
_STRETCH = "For example reference=range(100, 300)."


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Runs beside each other.

    Attributes:
        runs: those that are shown, at most `MOST_RUNS`.
        reference: the place of the sound run among them, or a sound stretch of steps of each.
        left_out: how many more there were.
    """

    runs: tuple[Run, ...]
    reference: int | range
    left_out: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """With a number before each, which tells them apart where names and colours do not."""
        return tuple(f"{number} {run.name}" for number, run in enumerate(self.runs, 1))

    @property
    def reference_name(self) -> str:
        """What the others are compared with, in words."""
        if isinstance(self.reference, int):
            return self.names[self.reference]
        return f"steps {self.reference.start:,} to {self.reference.stop - 1:,}"

    @property
    def reference_of(self) -> Run | range:
        """The sound run itself, or the stretch."""
        return self.runs[self.reference] if isinstance(self.reference, int) else self.reference

    def changes(self) -> dict[int, list[Change]]:
        """Place of a run -> what left the reference's range in it, what did so first before the others."""
        others = [place for place in range(len(self.runs)) if place != self.reference]
        return {place: first_changes(self.runs[place], self.reference_of) for place in others}


def compared_runs(runs: AnyRun | Sequence[AnyRun], reference: Reference = None) -> ComparedRuns:
    """Check what is to be compared.

    Raises:
        ArgumentError: it is no run, there is only one and no stretch of it, or the stretch has no step of it.
        RunFileError: a file is no run file.
    """
    given = [runs] if isinstance(runs, Run | Inspector | str | os.PathLike) else runs
    if not isinstance(given, list | tuple) or not given:
        got = f"an empty {type(given).__name__}" if isinstance(given, list | tuple) else describe(given)
        raise ArgumentError("runs", expected="runs, inspectors or run files", got=got, advice=_ADVICE)
    known = [_as_run("runs", one) for one in given]
    if isinstance(reference, range | tuple):
        stretch = _as_stretch(reference, known)
        return ComparedRuns(tuple(known[:MOST_RUNS]), stretch, max(len(known) - MOST_RUNS, 0))
    place = 0
    if reference is not None:
        sound = _as_run("reference", reference)
        places = [place for place, run in enumerate(known[:MOST_RUNS]) if _same(run, sound)]
        place, known = (places[0], known) if places else (0, [sound, *known])
    if len(known) < 2:
        raise ArgumentError(
            "runs", expected="two runs, or one and a sound stretch of it", got="one run", advice=f"{_ADVICE} {_STRETCH}"
        )
    return ComparedRuns(tuple(known[:MOST_RUNS]), place, max(len(known) - MOST_RUNS, 0))


def other_runs(argument: str, given: object, run: Run, most: int) -> list[Run]:
    """The runs that another one is to be seen against.

    Raises:
        ArgumentError: it is no run, or the same one, or none or more than so many, or one of them twice.
        RunFileError: a file is no run file.
    """
    wanted = given if isinstance(given, list | tuple) else [given]
    advice = 'For example inspector.dashboard(compare="sound").'
    if not 0 < len(wanted) <= most:
        got = f"{len(wanted) or 'none'}"
        raise ArgumentError(argument, expected=f"one to {most} runs", got=got, advice=advice)
    others: list[Run] = []
    for other in (_as_run(argument, one) for one in wanted):
        if any(_same(other, one) for one in (run, *others)):
            got = f"{other.name} itself" if _same(other, run) else f"{other.name} twice"
            raise ArgumentError(argument, expected="another run", got=got, advice=advice)
        others.append(other)
    return others


def _as_run(argument: str, one: object) -> Run:
    if isinstance(one, Run):
        return one
    if isinstance(one, Inspector):
        return one.run
    if isinstance(one, str | os.PathLike):
        return open_run(one, follow=True)
    raise ArgumentError(argument, expected="a run, an inspector or a run file", got=describe(one), advice=_ADVICE)


def _as_stretch(reference: range | tuple[int, ...], runs: Sequence[Run]) -> range:
    ends = (reference.start, reference.stop) if isinstance(reference, range) else reference
    sound = len(ends) == 2 and all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
    if not sound or not 0 <= ends[0] < ends[1]:
        raise ArgumentError("reference", expected="a run or a stretch of steps", got=repr(reference), advice=_STRETCH)
    longest = max(run.steps for run in runs)
    if ends[1] >= longest:
        raise ArgumentError(
            "reference",
            expected="a stretch with steps after it",
            got=f"steps {ends[0]:,} to {ends[1]:,} of {longest:,}",
            advice="What comes after the stretch is compared with it.",
        )
    return range(*ends)


def _same(one: Run, other: Run) -> bool:
    if one.path is None or other.path is None:
        return one is other
    return one.path.resolve() == other.path.resolve()
