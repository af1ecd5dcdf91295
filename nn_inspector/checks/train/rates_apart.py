"""Parameter groups whose learning rates lie so far apart that some of the weights stand still beside the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import Race, race

APART = 1000.0
"""A rate so many times below another of the same optimizer is looked at. Fine tuning takes a tenth or a hundredth."""


@dataclass(frozen=True, slots=True)
class RatesApart:
    """The rates of one optimizer.

    Attributes:
        lowest, highest: of its groups; a rate of 0 freezes a group, and does not count.
        groups: how many have a rate far below the highest.
        of: how many there are.
        where: a parameter with the lowest rate.
    """

    lowest: float
    highest: float
    groups: int
    of: int
    where: str

    @property
    def text(self) -> str:
        """That in words."""
        return (
            f"the learning rates of {self.groups} of {self.of} parameter groups are more than {APART:,.0f} times below the highest, which is "
            f"{self.highest:.2g}; {self.where} has {self.lowest:.2g}, and stands still."
        )


def rates_apart(subject: Subject) -> RatesApart | None:
    """The first optimizer whose rates lie far apart; None if they do not."""
    names = {id(parameter): name for name, parameter in subject.training.model.named_parameters()}
    for optimizer in subject.training.optimizers:
        groups = [group for group in optimizer.param_groups if group["params"] and rate_of(group) > 0]
        rates = [rate_of(group) for group in groups]
        low = [rate for rate in rates if rate * APART < max(rates)]
        if low:
            slowest = groups[rates.index(min(rates))]["params"][0]
            return RatesApart(min(rates), max(rates), len(low), len(groups), names.get(id(slowest), "one"))
    return None


def rate_of(group: Mapping[str, Any]) -> float:
    """The highest rate that a group is known to have; 0 if it has none.

    Example:
        >>> rate_of({"lr": 0.0, "initial_lr": 0.1}), rate_of({})
        (0.1, 0.0)
    """
    return max(float(group.get(name) or 0.0) for name in ("lr", "initial_lr", "max_lr"))


def race_to_one_rate(subject: Subject) -> Race | None:
    """Copies train with the rates as they are, and with the highest one where they are far below it."""
    return race(subject, lambda copied: _raise_low_rates(copied.optimizers))


def _raise_low_rates(optimizers: Sequence[Optimizer]) -> None:
    for optimizer in optimizers:
        highest = max((float(group.get("lr") or 0.0) for group in optimizer.param_groups), default=0.0)
        for group in optimizer.param_groups:
            if 0 < float(group.get("lr") or 0.0) * APART < highest:
                group["lr"] = highest
