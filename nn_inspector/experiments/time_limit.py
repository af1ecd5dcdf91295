"""A point in time after which experiments begin no further pass."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from nn_inspector.errors import InspectorError


class OutOfTimeError(InspectorError):
    """The time for experiments is used up.

    It is no `ExperimentError`: a check that lives with an experiment that is not possible must not take this for one.
    """


@dataclass(slots=True)
class TimeLimit:
    """When experiments have to end.

    Attributes:
        deadline: `time.monotonic()` after which no pass begins.
        hit: whether one would have begun later.
    """

    deadline: float = math.inf
    hit: bool = False


_current: ContextVar[TimeLimit] = ContextVar("time_limit")


@contextlib.contextmanager
def time_limit(deadline: float) -> Iterator[TimeLimit]:
    """Let no pass of an experiment inside the block begin after `deadline`, a `time.monotonic()`."""
    limit = TimeLimit(deadline)
    token = _current.set(limit)
    try:
        yield limit
    finally:
        _current.reset(token)


def latest(seconds: float) -> float:
    """`time.monotonic()` at which something ends that may take so many seconds, and no longer than the experiments."""
    return min(time.monotonic() + seconds, _current.get(TimeLimit()).deadline)


def require_time() -> None:
    """Raise if the time for experiments is used up.

    Raises:
        OutOfTimeError: it is.
    """
    limit = _current.get(TimeLimit())
    if time.monotonic() > limit.deadline:
        limit.hit = True
        raise OutOfTimeError("There was no time left for the experiment that this check makes.")
