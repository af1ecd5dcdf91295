"""The trace of the first steps, cut into what happened between one optimizer step and the next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nn_inspector.history import Run
from nn_inspector.probes import TraceEntry

_NOTED = frozenset({"batch", "forward", "backward", "clip", "unscale", "rescale", "zero_grad", "scheduler", "step"})


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened from one step to the next.

    Attributes:
        entries: batches, training passes of the model, backward(), clipping, clearing and new rates, in order.
        optimizer: which optimizer made the step that ends it.
    """

    entries: Sequence[TraceEntry]
    optimizer: int

    @property
    def calls(self) -> list[str]:
        """The names of the entries."""
        return [entry.call for entry in self.entries]

    def after_last(self, call: str) -> list[str]:
        """The names of what came after the last entry of this name; empty if there is none."""
        calls = self.calls
        return calls[len(calls) - calls[::-1].index(call) :] if call in calls else []


def intervals_of(run: Run) -> list[Interval]:
    """The intervals of the traced steps that have a backward pass; the first one begins with the loop."""
    return [interval for interval in _intervals(run) if "backward" in interval.calls]


def _intervals(run: Run) -> Iterator[Interval]:
    gathered: list[TraceEntry] = []
    for entry in run.trace:
        if entry.call not in _NOTED or _is_validation(entry):
            continue
        if entry.call == "step":
            yield Interval(tuple(gathered), int(entry.facts["optimizer"]))  # type: ignore[arg-type]
            gathered = []
        else:
            gathered.append(entry)


def _is_validation(entry: TraceEntry) -> bool:
    return "validation" in (entry.facts.get("phase"), entry.facts.get("role"))


def gradient_sizes(run: Run) -> np.ndarray:
    """The norm of all gradients together, at each measured step; of a long run, of its buckets."""
    squares: dict[int, float] = {}
    sources = run.sources("gradient_norm")
    for source in sources:
        series = run.series("gradient_norm", source)
        for step, value in zip(series.steps.tolist(), series.high.tolist(), strict=True):
            squares[step] = squares.get(step, 0.0) + value * value
    return np.sqrt([squares[step] for step in sorted(squares)])


def clipped_to_nothing(run: Run) -> bool:
    """Whether clipping makes most gradients zero, because their norm is infinite: the limit over infinity is nothing."""
    norms = [entry.facts.get("norm") for entry in run.trace if entry.call == "clip"]
    known = [norm for norm in norms if isinstance(norm, float)]
    return bool(known) and 2 * sum(math.isinf(norm) for norm in known) > len(known)
