"""Trained numbers that make the loss as small as they like, whatever the network answers: nothing holds them up."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import CheckInfo, Subject, finding
from nn_inspector.checks.race import BADLY, left_now
from nn_inspector.checks.train.curve import LossCurve
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import (
    Start,
    TrainingCopy,
    batch_size,
    initial_state,
    isolated,
    preserved_random_state,
    tensors_of,
)
from nn_inspector.history import Finding, Remedy, Severity

SMALL = 0.01
"""So little of the first loss is left where these numbers alone are trained, while the network answers by chance."""

MOST = 16
"""So many numbers weigh the parts of a loss at most."""

ITEMS_A_NUMBER = 4
"""Of fewer items a few numbers might fit the answers themselves."""

RULED = 0.5
"""They lowered the loss of the training by so much: its fall says little of what was learned."""

HELD_UP = "loss = (torch.exp(-log_variance) * losses + log_variance).sum()  # not (weight * losses).sum()"
"""How learned weights of several losses are held up."""

_STEPS = 120
_RATE = 0.3
_SHORT = (0.5, 0.5)
"""Of a gradient that falls quickly, as an exponential does, a longer memory would make the steps small."""

_ON = 5.0
_FACTOR = 4.0
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Unheld:
    """Numbers that weigh a loss, and nothing that keeps them from making it nothing.

    Attributes:
        names: of the parameters.
        first: the loss of the untrained network.
        lowest: what is left of it with these numbers trained alone.
        factor: by what they have multiplied the loss of the trained network, from their first values to those of now; None where their
            first values are not known.
    """

    names: tuple[str, ...]
    first: float
    lowest: float
    factor: float | None


def unheld_finding(info: CheckInfo, subject: Subject) -> Finding | None:
    """What is said of it; None where there is nothing to say, or nothing can be tried."""
    try:
        found = unheld(subject)
    except ExperimentError:
        return None
    if found is None:
        return None
    ruled = found.factor is not None and found.factor <= RULED
    severity: Severity = "info" if _does_well(subject) else "error" if ruled else "warning"
    now = (
        f" In your training they have made the loss {1 / found.factor:,.3g} times smaller."
        if ruled and found.factor
        else ""
    )
    names = ", ".join(found.names)
    return finding(
        info,
        severity,
        f"No: the loss can be lowered without learning anything. With {names} trained alone, which the network's answers do not depend "
        f"on, it falls from {found.first:.3g} to {found.lowest:.2g} while the network knows nothing, and further on.{now}",
        evidence={"first_loss": found.first, "lowest_loss": found.lowest},
        remedy=Remedy("Learned weights of a loss need a term that holds them up.", HELD_UP),
        where=found.names[0],
        basis="experiment",
    )


def _does_well(subject: Subject) -> bool:
    try:
        left = left_now(subject)[1]
    except ExperimentError:
        return False
    return left is not None and left <= BADLY


def unheld(subject: Subject) -> Unheld | None:
    """Train nothing but the few numbers that the loss depends on and the network's answers do not.

    A learned weight of a loss is kept from falling by a term of its own, so that the loss has a lowest value which depends on the
    answers. It is without one if it comes to next to nothing for answers by chance, with all that pulls at the network, and does not
    rise further on, or is nothing where the numbers are 0. What scales the answers, a temperature or a margin, makes no wrong answer
    cheap.

    Raises:
        ExperimentError: no experiment is possible.
    """
    if subject.seconds <= 0 or not subject.training.optimizers:
        return None
    batch = subject.batches()[0]
    deadline = time.monotonic() + subject.seconds / 4
    with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
        copied.model.eval()
        numbers = _beside_the_answers(copied, batch)
        if not numbers or sum(one.numel() for one in numbers.values()) * ITEMS_A_NUMBER > batch_size(batch):
            return None
        first = max(_value(copied, batch), _first_loss(subject))
        lowest = _lowest(copied, batch, list(numbers.values()), first, deadline)
    if lowest is None:
        return None
    return Unheld(tuple(numbers), first, max(lowest, 0.0), _factor(subject, batch, tuple(numbers)))


def _lowest(
    copied: TrainingCopy, batch: Any, numbers: Sequence[torch.Tensor], first: float, deadline: float
) -> float | None:
    """What the numbers take the loss to; None if that is not next to nothing, or something keeps them from it."""
    if not first > 0 or not math.isfinite(first):
        return None
    before = _pulls(copied, batch, numbers)
    lowest = _minimized(copied, batch, numbers, deadline)
    if lowest is None or not lowest <= SMALL * first:
        return None
    after = _pulls(copied, batch, numbers)
    if any(now > SMALL * then for now, then in zip(after, before, strict=True)):
        return None  # one part of several is left out, and others are learned
    unheld = _goes_on(copied, batch, numbers) or _nothing_at_zero(copied, batch, numbers, first)
    return lowest if unheld else None


def _beside_the_answers(copied: TrainingCopy, batch: Any) -> dict[str, torch.Tensor]:
    """Few numbers that are trained and change the loss, but nothing that the network answers."""
    stepped = {
        id(one) for optimizer in copied.optimizers for group in optimizer.param_groups for one in group["params"]
    }
    few = {
        name: parameter
        for name, parameter in _parameters(copied).items()
        if id(parameter) in stepped and parameter.requires_grad and parameter.numel() <= MOST
    }
    if not few:
        return {}
    answers = [one for one in tensors_of(copied.predict(batch)) if one.requires_grad and one.numel() > 1]
    if not answers:
        return {}
    of_answers = torch.autograd.grad([one.abs().sum() for one in answers], list(few.values()), allow_unused=True)
    loss = _loss(copied, batch)
    if not loss.requires_grad:
        return {}
    of_loss = torch.autograd.grad(loss, list(few.values()), allow_unused=True)
    found = zip(few.items(), of_answers, of_loss, strict=True)
    return {name: one for (name, one), answer, part in found if answer is None and part is not None}


def _parameters(copied: TrainingCopy) -> dict[str, torch.Tensor]:
    """Those of the model and of the loss, each once."""
    loss = copied.loss_fn
    owners = [copied.model, *([loss] if isinstance(loss, torch.nn.Module) else [])]
    named = {id(one): (name, one) for owner in reversed(owners) for name, one in owner.named_parameters()}
    return dict(named.values())


def _minimized(copied: TrainingCopy, batch: Any, numbers: Sequence[torch.Tensor], deadline: float) -> float | None:
    """The loss at the end; None if time ran out or it was lost."""
    rate = _RATE * max(1.0, *(float(one.detach().abs().max()) for one in numbers))
    optimizer = torch.optim.Adam(numbers, lr=rate, betas=_SHORT)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / _STEPS)
        loss = _loss(copied, batch)
        if time.monotonic() > deadline or not bool(torch.isfinite(loss)):
            return None
        optimizer.zero_grad()
        for one, gradient in zip(numbers, _gradients(loss, numbers), strict=True):
            one.grad = gradient
        optimizer.step()
    return _value(copied, batch)


def _pulls(copied: TrainingCopy, batch: Any, numbers: Sequence[torch.Tensor]) -> list[float]:
    """Norms of the gradients of all else that is trained."""
    others = [one for one in copied.model.parameters() if one.requires_grad and all(one is not own for own in numbers)]
    return [float(gradient.norm()) for gradient in _gradients(_loss(copied, batch), others)]


@torch.no_grad()
def _nothing_at_zero(copied: TrainingCopy, batch: Any, numbers: Sequence[torch.Tensor], first: float) -> bool:
    for one in numbers:
        one.zero_()
    return _value(copied, batch) <= _SLACK * first


def _goes_on(copied: TrainingCopy, batch: Any, numbers: Sequence[torch.Tensor]) -> bool:
    """Whether the loss does not rise if they go on far the way they went."""
    loss = _loss(copied, batch)
    gradients = _gradients(loss, numbers)
    with torch.no_grad():
        for one, gradient in zip(numbers, gradients, strict=True):
            one.sub_(gradient.sign() * (_ON + _FACTOR * one.abs()))
    before = float(loss.detach())
    return _value(copied, batch) <= before + _SLACK * abs(before)


def _gradients(loss: torch.Tensor, numbers: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, list(numbers), allow_unused=True)
    return [torch.zeros_like(one) if part is None else part for one, part in zip(numbers, found, strict=True)]


def _factor(subject: Subject, batch: Any, names: tuple[str, ...]) -> float | None:
    first = subject.training.initial or {}
    if any(name not in first for name in names):
        return None
    with isolated(subject.training, start=Start()) as copied:
        copied.model.eval()
        now = _value(copied, batch)
        found = _parameters(copied)
        with torch.no_grad():
            for name in names:
                found[name].copy_(first[name])
        before = _value(copied, batch)
    return now / before if before > 0 and math.isfinite(now) else None


def _first_loss(subject: Subject) -> float:
    seen = LossCurve.of(subject.run)
    return seen.start if seen.total and math.isfinite(seen.start) else 0.0


def _loss(copied: TrainingCopy, batch: Any) -> torch.Tensor:
    with preserved_random_state(0):
        return copied.loss(batch)


@torch.no_grad()
def _value(copied: TrainingCopy, batch: Any) -> float:
    return float(_loss(copied, batch))
