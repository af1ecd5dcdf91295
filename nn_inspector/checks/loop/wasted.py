"""Gradients that are cleared away at every batch, though the step comes only after several."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.checks.loop.traced import Interval, intervals_of
from nn_inspector.history import Run

_ENOUGH = 3
_MOST = 0.8


def wasted_batches(run: Run, reading: Reading, *, some_never_moved: bool = False) -> int:
    """How many batches of an accumulation, or losses of one batch, are cleared away before each step; 0 if none is.

    Two backward passes with clearing between are common (adversarial examples, SAM, another network's loss), but not on
    a new batch each time: the loader must have been asked in between, or the loop must clear always and step sometimes. Of
    several losses of one forward pass the gradients may have been put aside before: not where some parameters never moved.

    Args:
        run: with its trace.
        reading: of the loop.
        some_never_moved: whether the optimizer holds parameters of layers that run, and that are to this day what they were.
    """
    intervals = intervals_of(run)[1:]
    if len({interval.optimizer for interval in intervals}) != 1 or len(intervals) < _ENOUGH:
        return 0
    written = step_behind_batches(reading) is not None or any(map(_clears_always_and_steps_sometimes, reading.rounds))
    written = written or (some_never_moved and one_forward(run))
    counts = [_thrown_away(interval, by_batch=not written) for interval in intervals]
    thrown = [count for count in counts if count]
    return int(median(thrown)) if len(thrown) >= _MOST * len(counts) else 0


def one_forward(run: Run) -> bool:
    """Whether the model is called once a step: what is gathered then are several losses of one batch."""
    intervals = intervals_of(run)[1:]
    return bool(intervals) and all(interval.calls.count("forward") <= 1 for interval in intervals)


def step_behind_batches(reading: Reading) -> Event | None:
    """The step, where the loop makes it only after an inner loop that holds all that runs backward()."""
    steps, backward = reading.of("step"), reading.of("backward")
    if not backward or not steps:
        return None
    behind = all(_is_behind(step, one) for step in steps for one in backward)
    return steps[0] if behind else None


def _is_behind(step: Event, backward: Event) -> bool:
    depth = len(step.loops)
    inner = backward.loops[depth:]
    return step.loops == backward.loops[:depth] and bool(inner) and inner[0].over in ("batches", "other")


def _thrown_away(interval: Interval, *, by_batch: bool) -> int:
    """How many backward passes of this step were each followed by clearing and, if asked for, by a new batch."""
    found, rest = 0, list(interval.calls)
    while "backward" in rest:
        rest = rest[rest.index("backward") + 1 :]
        until = rest[: rest.index("backward")] if "backward" in rest else []
        found += "zero_grad" in until and (not by_batch or "batch" in until)
    return found if found == interval.calls.count("backward") - 1 else 0


def _clears_always_and_steps_sometimes(events: Sequence[Event]) -> bool:
    steps = [event for event in events if event.kind == "step"]
    backward = next((event for event in events if event.kind == "backward"), None)
    if backward is None or not steps or not all(any("%" in one for one in step.conditions) for step in steps):
        return False
    return any(e.kind == "zero_grad" and not e.conditions and e.loops == backward.loops for e in events)
