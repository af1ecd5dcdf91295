"""The learning rates of a run, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn_inspector.checks.base import Subject
from nn_inspector.probes import group_name

_MOST_POINTS = 2000


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of the learning rates.

    Attributes:
        steps: [points], at most 2,000 of them, evenly over the run.
        relative: [points], the rate over its highest value; where there are several groups, the largest of these.
        first, last, highest: of each group.
        aims: what the schedule of each group leads to, as far as torch's schedulers say; else its highest.
    """

    steps: np.ndarray
    relative: np.ndarray
    first: tuple[float, ...]
    last: tuple[float, ...]
    highest: tuple[float, ...]
    aims: tuple[float, ...]


def rates_of(subject: Subject) -> Rates | None:
    """The rates of all groups that were seen; None if there are none."""
    run = subject.run
    groups = {
        group_name(index, number): group
        for index, optimizer in enumerate(subject.training.optimizers)
        for number, group in enumerate(optimizer.param_groups)
    }
    curves = [run.series("learning_rate", name) for name in groups]
    if not curves or not run.steps or any(not len(series) for series in curves):
        return None
    steps = np.unique(np.linspace(0, run.steps - 1, min(run.steps, _MOST_POINTS)).astype(np.int64))
    values = [series.values[np.clip(np.searchsorted(series.steps, steps, "right") - 1, 0, None)] for series in curves]
    highest = [float(series.high.max()) for series in curves]
    relative = [value / high for value, high in zip(values, highest, strict=True) if high > 0]
    if not relative:
        return None
    return Rates(
        steps=steps,
        relative=np.max(relative, axis=0),
        first=tuple(float(value[0]) for value in values),
        last=tuple(float(value[-1]) for value in values),
        highest=tuple(highest),
        aims=tuple(_aim(group, high) for group, high in zip(groups.values(), highest, strict=True)),
    )


def _aim(group: Mapping[str, Any], highest: float) -> float:
    """`initial_lr` is what a factor is applied to, `max_lr` the top of a cycle."""
    known = [group[name] for name in ("max_lr", "initial_lr") if isinstance(group.get(name), int | float)]
    return float(known[0]) if known else highest
