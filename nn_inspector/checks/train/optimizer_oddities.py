"""Settings of optimizers that are out of the usual."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from nn_inspector.experiments import TrainingCopy


@dataclass(frozen=True, slots=True)
class Oddity:
    """A setting out of the usual.

    Attributes:
        name: of the option.
        value: what it is.
        usual: what it usually is.
        why: what it does then, as one sentence.
        overshoots: whether steps go on for too long by it.
    """

    name: str
    value: Any
    usual: Any
    why: str
    overshoots: bool = False

    @property
    def swapped(self) -> bool:
        """Whether two settings stand in each other's place, which nobody means."""
        return isinstance(self.value, tuple) and self.usual == self.value[::-1]

    @property
    def text(self) -> str:
        """That in words."""
        return f"{self.name}={_said(self.value)} (usual is {_said(self.usual)}): {self.why}"


def oddities_of(optimizers: Sequence[Optimizer]) -> list[Oddity]:
    """The settings of all parameter groups that are out of the usual, each once.

    Example:
        >>> import torch
        >>> odd = oddities_of([torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.999)])
        >>> odd[0].name, odd[0].usual
        ('momentum', 0.9)
    """
    found = [oddity for optimizer in optimizers for group in optimizer.param_groups for oddity in _of_group(group)]
    return list({(one.name, str(one.value)): one for one in found}.values())


def made_usual(oddities: Sequence[Oddity], copied: TrainingCopy) -> None:
    """Give a copy, whose optimizers have made no step, the usual values of these settings."""
    usual = {one.name: one.usual for one in oddities}
    odd = {(one.name, str(one.value)) for one in oddities}
    for optimizer in copied.optimizers:
        for settings in (optimizer.defaults, *optimizer.param_groups):
            for name, value in usual.items():
                if (name, str(settings.get(name))) in odd:
                    settings[name] = value


def _of_group(group: Mapping[str, Any]) -> Iterator[Oddity]:
    betas = group.get("betas")
    eps, momentum, alpha, decay = (_number(group.get(name)) for name in ("eps", "momentum", "alpha", "lr_decay"))
    dampening = _number(group.get("dampening"))
    if eps > LARGE_EPSILON and (betas is not None or "alpha" in group):
        why = "it outweighs the gradient's own size, so that the steps are far smaller than the rate says."
        yield Oddity("eps", eps, 1e-8, why)
    if isinstance(betas, tuple | list) and len(betas) == 2:
        yield from _of_betas(_number(betas[0]), _number(betas[1]))
    if momentum > STRONG_MOMENTUM:
        why = f"a step goes on for {1 / max(1 - momentum, 1e-9):.0f} steps, and overshoots."
        yield Oddity("momentum", momentum, 0.9, why, overshoots=True)
    if dampening > 0.5 and momentum > 0:
        yield Oddity("dampening", dampening, 0.0, "it takes away most of each new gradient.")
    if "centered" in group and alpha < WEAK_MEMORY:
        yield Oddity("alpha", alpha, 0.99, "the steps are scaled by hardly more than the last gradient.")
    if group.get("maximize"):
        yield Oddity("maximize", value=True, usual=False, why="the steps make the loss larger.")
    if decay > FAST_DECAY:
        yield Oddity("lr_decay", decay, 0.0, f"the rate is halved after {1 / decay:.0f} steps.")
    start = _number(group.get(ACCUMULATOR))
    if start > LARGE_ACCUMULATOR:
        why = f"each step is divided by at least {math.sqrt(start):.3g}, until the squared gradients outweigh it."
        yield Oddity(ACCUMULATOR, start, 0.0, why)


LARGE_EPSILON = 1e-2
"""1e-8 is usual, 1e-5 to 1e-3 are known from reinforcement learning and half precision."""

STRONG_MOMENTUM = 0.98
"""0.9 is usual; 0.95 and 0.97 are used with small rates."""

WEAK_MEMORY = 0.7
"""Of the second moment: 0.9 to 0.999 are usual."""

FAST_DECAY = 0.01
"""Of Adagrad's rate, for each step."""

ACCUMULATOR = "initial_accumulator_value"
"""What Adagrad's sum of squared gradients begins with; it is read once, as the optimizer is made."""

LARGE_ACCUMULATOR = 1.0
"""0 is usual, and 0.1 in TensorFlow."""


def _of_betas(first: float, second: float) -> Iterator[Oddity]:
    usual = (min(first, 0.9), second if second >= WEAK_MEMORY else 0.999)
    if first > STRONG_MOMENTUM and first > second >= WEAK_MEMORY:
        why = "the two have changed places, so that old gradients rule over new ones, and the steps overshoot."
        yield Oddity("betas", (first, second), (second, first), why, overshoots=True)
    elif first > STRONG_MOMENTUM:
        why = "old gradients rule over new ones, and the steps overshoot."
        yield Oddity("betas", (first, second), usual, why, overshoots=True)
    elif second < WEAK_MEMORY:
        yield Oddity("betas", (first, second), usual, "the steps are scaled by hardly more than the last gradient.")


def _number(value: object) -> float:
    """As a number; NaN, which is above and below nothing, if it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _said(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(_said(one) for one in value)})"
    return str(value) if isinstance(value, bool) else f"{value:g}"
