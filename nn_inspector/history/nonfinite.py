"""Where NaN or Inf came from first."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from nn_inspector.probes import Measured, Measurement, MeasurementTable, one_by_one

Where = Literal["forward", "backward", "gradient", "weight", "loss"]

BEFORE = 20
"""So many summaries of modules that came before are remembered."""

_KEPT = 1000
"""So many measurements, at least, are kept to make them from."""

_ORDER: dict[str, tuple[int, Where]] = {
    "weight_norm": (0, "weight"),
    "weight_nonfinite": (0, "weight"),
    "activation_nonfinite": (1, "forward"),
    "loss": (2, "loss"),
    "activation_gradient_nonfinite": (3, "backward"),
    "gradient_norm": (4, "gradient"),
    "gradient_nonfinite": (4, "gradient"),
    "update_norm": (5, "weight"),
}
"""In which order the things of one step happen: the weights that it begins with, forward, loss, backward, the gradients
that it uses, the weights that it leaves."""

_PLACES: dict[str, Where] = {"activation": "forward", "activation_gradient": "backward"}
_SUMMARIES: dict[str, tuple[Where, str]] = {
    f"{prefix}_{name}": (where, name)
    for prefix, where in _PLACES.items()
    for name in ("mean", "spread", "zeros", "nonfinite", "norm")
}


@dataclass(frozen=True, slots=True)
class ModuleSummary:
    """What was measured of one module in one step.

    Attributes:
        step: optimizer steps complete.
        where: "forward" for its output, "backward" for the gradient there.
        source: name of the module.
        numbers: mean, spread, zeros, nonfinite, norm; those that were measured.
    """

    step: int
    where: Where
    source: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Nonfinite:
    """The first NaN or Inf of a run.

    Attributes:
        step: optimizer steps complete.
        where: "forward" (a module's output), "loss", "backward" (a gradient at a module's output), "gradient" (of a
            parameter) or "weight".
        source: name of the module, parameter or phase.
        before: summaries of the modules that came before it, the latest last; at most `BEFORE`.
        then: where it was found at the next step that was measured in full, if the first sign was the loss of a step that
            was not.
    """

    step: int
    where: Where
    source: str
    before: tuple[ModuleSummary, ...]
    then: Nonfinite | None = None


class NonfiniteFinder:
    """Looks through the measurements for the first value that is not finite. Those of one step may come in any order."""

    def __init__(self) -> None:
        self._first: Nonfinite | None = None
        self._located: Nonfinite | None = None
        self._step = -1
        self._found: list[tuple[int, int, Where, str]] = []
        self._kept: deque[tuple[int, list[Measured]]] = deque()
        self._kept_size = 0

    @property
    def answer(self) -> Nonfinite | None:
        """What was found, or None."""
        first, located = self._first, self._located
        if first is None or located is None or located.step == first.step:
            return located or first
        return replace(first, then=located)

    def add(self, measurements: list[Measured]) -> None:
        """Take measurements, each at or after the step of those before. They are kept for a while, and not copied."""
        if self._located is not None and self._located.step < self._step:
            self._kept.clear()
            self._kept_size = 0
            return
        size = 0
        for measured in measurements:
            if isinstance(measured, MeasurementTable):
                size += len(measured.quantities) * len(measured.sources)
                self._look_through(measured)
            else:
                size += 1
                if measured.quantity in _ORDER:
                    self._look(measured)
        self._kept.append((size, measurements))
        self._kept_size += size
        self._decide()
        while len(self._kept) > 1 and self._kept_size - self._kept[0][0] >= _KEPT:
            self._kept_size -= self._kept.popleft()[0]

    def _look(self, measured: Measurement) -> None:
        self._begin(measured.step)
        value = measured.value
        wrong = value > 0 if measured.quantity.endswith("_nonfinite") else not math.isfinite(value)
        if wrong:
            self._note(measured.quantity, measured.source)

    def _look_through(self, table: MeasurementTable) -> None:
        for quantity, values in zip(table.quantities, table.values, strict=True):
            if quantity in _ORDER:
                self._begin(table.step)
                wrong = values > 0 if quantity.endswith("_nonfinite") else ~np.isfinite(values)
                for place in wrong.nonzero()[0]:
                    self._note(quantity, table.sources[place])

    def _begin(self, step: int) -> None:
        if step > self._step:
            self._decide()
            self._step, self._found = step, []

    def _note(self, quantity: str, source: str) -> None:
        if source != "validation":
            order, where = _ORDER[quantity]
            self._found.append((order, len(self._found), where, source))

    def _decide(self) -> None:
        if not self._found or (self._located is not None and self._located.step < self._step):
            return
        order, _, where, source = min(self._found)
        summaries = self._summaries()
        found = Nonfinite(self._step, where, source, _earlier(summaries, self._step, order, where, source))
        if self._first is None or self._first.step == self._step:
            self._first = found
        if where != "loss" or any(summary.step == self._step for summary in summaries):
            self._located = found

    def _summaries(self) -> list[ModuleSummary]:
        """Of what is kept: step by step, forward and then backward, each in the order of its calls."""
        found: dict[tuple[int, bool, str], ModuleSummary] = {}
        kept = (measured for _, batch in self._kept for measured in batch if measured.step <= self._step)
        for measured in one_by_one(kept):
            where, name = _SUMMARIES.get(measured.quantity, (None, ""))
            if where is not None and isinstance(measured.value, float):
                key = (measured.step, where == "backward", measured.source)
                if key not in found:
                    found[key] = ModuleSummary(measured.step, where, measured.source)
                found[key].numbers[name] = measured.value
        return [found[key] for key in sorted(found, key=lambda key: key[:2])]


def _earlier(
    summaries: list[ModuleSummary], step: int, order: int, where: Where, source: str
) -> tuple[ModuleSummary, ...]:
    """Those before the place that was found."""
    places = {"forward": 1, "backward": 3}
    before = [summary for summary in summaries if summary.step < step or places[summary.where] <= order]
    names = [(summary.step, summary.where, summary.source) for summary in before]
    if (step, where, source) in names:
        before = before[: names.index((step, where, source))]
    return tuple(before[-BEFORE:])
