"""From where an experiment starts: which weights, and which learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from nn_inspector.errors import ExperimentError
from nn_inspector.history import Run
from nn_inspector.probes import group_name
from nn_inspector.training import Training


@dataclass(frozen=True, slots=True)
class Start:
    """Where the copies of an experiment start from.

    Attributes:
        weights: "now" for the present state, "initial" for the weights at the time of `watch()` with fresh optimizers.
        rates: the largest learning rate of each parameter group that was seen in the run, by `group_name`.
    """

    weights: Literal["now", "initial"] = "now"
    rates: Mapping[str, float] = field(default_factory=dict)


def initial_state(training: Training, run: Run) -> Start:
    """Where an experiment about the beginning can start from.

    Args:
        training: the user's training.
        run: what was seen of it.

    Raises:
        ExperimentError: it has moved on and its first weights are not known.
    """
    rates = {source: _largest(run.series("learning_rate", source).high) for source in run.sources("learning_rate")}
    if run.steps == 0:
        return Start("now", rates)
    if training.initial is None:
        raise ExperimentError(
            "The weights before the first step are not known: the model was too large to remember them. Build the "
            "model anew, call watch(), and run this check before training."
        )
    return Start("initial", rates)


def set_rates(training: Training, optimizers: list[Optimizer], start: Start) -> None:
    """Give each parameter group of the copied optimizers the largest learning rate that is known of it.

    Those are what it has now, what it had when its optimizer became known, what was seen in the run, and what a
    scheduler of torch's is going to give it. A warm-up begins with a rate of 0, at which no trial would move.
    """
    for index, optimizer in enumerate(optimizers):
        for number, group in enumerate(optimizer.param_groups):
            if group.get("lr") is None:
                continue
            name = group_name(index, number)
            known = (*_own_rates(group), training.initial_rates.get(name, 0.0), start.rates.get(name, 0.0))
            largest = max(rate for rate in known if math.isfinite(rate))
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(largest)
            elif largest != group["lr"]:
                group["lr"] = largest


def _own_rates(group: Mapping[str, Any]) -> Iterator[float]:
    yield 0.0
    for name in ("lr", "initial_lr", "max_lr"):  # schedulers of torch's leave the last two here
        rate = group.get(name)
        if isinstance(rate, int | float) or (isinstance(rate, torch.Tensor) and rate.numel() == 1):
            yield float(rate)


def _largest(rates: Any) -> float:
    finite = [float(rate) for rate in rates if math.isfinite(rate)]
    return max(finite, default=0.0)
