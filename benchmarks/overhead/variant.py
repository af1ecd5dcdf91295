"""What the watchers have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.overhead.loop import AfterStep, Loop


@dataclass(frozen=True, slots=True)
class Session:
    """A watcher that is attached to a training.

    Attributes:
        quantities: asked at the end: the kinds of number or histogram that it stored, each counted once however many
            layers or parameters it was stored for, and whether or not it follows from another one.
        after_step: what the user's loop has to call after each step, or None.
        measured: how many steps were measured in full so far, where the watcher decides that by itself.
    """

    quantities: Callable[[], Sequence[str]]
    after_step: AfterStep | None = None
    measured: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to watch a training.

    Attributes:
        name: as the options and the table call it.
        cadence: when it measures, in words.
        attach: attaches to a loop, given an empty folder to write into; leaving the context detaches.
        period: it repeats itself after so many steps; a block of steps holds whole periods.
        shortest_block: steps that a block must have at least.
        package: its name on PyPI, or None for what needs no other package.
        lacking: says what else it lacks to run, if anything.
    """

    name: str
    cadence: str
    attach: Callable[[Loop, Path], AbstractContextManager[Session]]
    period: int = 1
    shortest_block: int = 1
    package: str | None = None
    lacking: Callable[[], str | None] = lambda: None

    @property
    def version(self) -> str | None:
        """The version of its package that is installed, if one is."""
        try:
            return version(self.package) if self.package else None
        except PackageNotFoundError:
            return None

    @property
    def unavailable(self) -> str | None:
        """Why it cannot be measured here, or None."""
        return "not installed" if self.package and self.version is None else self.lacking()
