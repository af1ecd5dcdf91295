"""What a training loop does, in order, as far as its source says."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Kind = Literal[
    "zero_grad",
    "forward",
    "loss",
    "backward",
    "unscale",
    "clip",
    "step",
    "scheduler",
    "train",
    "eval",
    "cut",
    "freeze",
    "inplace",
    "gradient",
    "weights",
    "replace",
    "optimizer",
    "schedule",
    "dropout",
    "reset",
    "assign",
    "append",
]
"""What is noted: see `Event`."""

Over = Literal["batches", "validation", "range", "other"]


def place_of(line: int, code: str, file: str = "") -> str:
    """Where a line is, for a person; `file` is given where it is not that of the loop."""
    code = code if len(code) <= 80 else f"{code[:77]}..."
    return f"{file} line {line}: {code}" if file else f"line {line}: {code}"


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """A `for`, a `while` or a comprehension; each is equal to itself alone.

    Attributes:
        line: where it begins.
        over: what it goes over: training batches, validation batches, a range of numbers, or something else.
        data: the loader itself where it is known.
    """

    line: int
    over: Over
    data: Any = None


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of what backward() is called on.

    Attributes:
        code: as it is written.
        live: the networks and parameters that its gradient reaches; "?" stands for one that is not known.
        cut: those that it was computed with, but whose gradient was cut off by detach(), item(), no_grad() or the like.
        place: where it was computed, for a person.
        sign: -1 where it was negated, else 1.
        is_loss: whether it is what a loss function returned.
    """

    code: str
    live: frozenset[Hashable]
    cut: frozenset[Hashable]
    place: str
    sign: int = 1
    is_loss: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that the loop does.

    Attributes:
        kind: "zero_grad", "forward" (a network is called), "loss", "backward", "unscale", "clip", "step" (of an optimizer),
            "scheduler" (its step), "train", "eval" (modes), "cut" (a gradient is cut off), "freeze", "inplace" (data are
            changed in place), "gradient" (.grad is written to), "weights" (.data is written to, or a parameter in no_grad),
            "replace" (a module or parameter gets another object), "optimizer" and "schedule" (one is made), "dropout"
            (of a function), "reset" (a state that the model carries is made anew), "assign" (a name gets a value),
            "append" (a list gets something).
        line: in its file or cell.
        code: the line.
        file: in which file or cell.
        on: the name that it works on, such as "optimizer"; "" if there is none.
        target: the object of this name, where it is known.
        loops: the loops that it stands in, the outermost first.
        conditions: the conditions that it stands under within the innermost loop, as they are written.
        no_grad: whether gradients are switched off there.
        within: functions of the user's that are being called, the outermost first.
        options: what else is known; see the reader.
        terms: of "backward", what its gradient is made of.
    """

    kind: Kind
    line: int
    code: str
    file: str = ""
    on: str = ""
    target: Any = None
    loops: tuple[Loop, ...] = ()
    conditions: tuple[str, ...] = ()
    no_grad: bool = False
    within: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    terms: tuple[Term, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, for a person.

        Example:
            >>> Event("step", 12, "optimizer.step()").place
            'line 12: optimizer.step()'
        """
        return place_of(self.line, self.code, self.file)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Attributes:
        events: in the order in which they happen; a function of the user's stands where it is called.
        reason: why nothing could be read, or None.
    """

    events: tuple[Event, ...] = ()
    reason: str | None = None

    def of(self, *kinds: Kind) -> list[Event]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]

    def first(self, *kinds: Kind) -> Event | None:
        """The first event of these kinds."""
        return next(iter(self.of(*kinds)), None)

    def place(self, *kinds: Kind) -> str | None:
        """Where the first event of these kinds is."""
        event = self.first(*kinds)
        return event.place if event is not None else None

    @property
    def rounds(self) -> list[list[Event]]:
        """The events of each innermost loop that makes a step or runs backward(), one list for each such loop."""
        return list(self._rounds())

    def _rounds(self) -> Iterator[list[Event]]:
        seen: list[tuple[Loop, ...]] = []
        for event in self.of("step", "backward", "weights"):
            if event.loops and event.loops not in seen:
                seen.append(event.loops)
        innermost = [loops for loops in seen if not any(len(o) > len(loops) and o[: len(loops)] == loops for o in seen)]
        for loops in innermost:
            yield [event for event in self.events if event.loops[: len(loops)] == loops]
