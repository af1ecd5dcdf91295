"""Summands of the loss that no longer depend on what is trained: read from the source of the loop."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from nn_inspector.checks.loop.reading import SOMETHING, Event, Held, Reading, Term
from nn_inspector.checks.model.wiring import parameters_of


@dataclass(frozen=True, slots=True)
class CutTerm:
    """A summand without effect.

    Attributes:
        term: the summand.
        backward: the call of backward() it is part of.
        alone: whether nothing else in that loss reaches what is stepped.
    """

    term: Term
    backward: Event
    alone: bool


def cut_terms(reading: Reading) -> list[CutTerm]:
    """The summands that were computed with what the next steps change, and that no gradient of theirs reaches.

    In a GAN, `discriminator(fake.detach())` is fine where the discriminator is stepped next, and without effect where the
    generator is. A loss that is weighted with a detached number keeps its gradient, and is not among them.
    """
    return list(_cut_terms(reading))


def _cut_terms(reading: Reading) -> Iterator[CutTerm]:
    for index, backward in enumerate(reading.events):
        if backward.kind != "backward" or (backward.no_grad and backward.conditions):
            continue  # where gradients are off, backward() would have failed: its condition does not hold there
        stepped = _stepped_next(reading.events[index + 1 :])
        if stepped is None:
            continue
        without = [term for term in backward.terms if _is_cut(term, stepped) and not _cancels(term, backward.terms)]
        for term in without:
            yield CutTerm(term, backward, alone=len(without) == len(backward.terms))


def _stepped_next(events: Sequence[Event]) -> set[int] | None:
    """Identities of the parameters that the steps behind a backward() change; None where that is not known."""
    found: set[int] = set()
    for event in events:
        if event.kind == "step":
            if not isinstance(event.target, Optimizer):
                return None
            found |= {id(parameter) for parameter in parameters_of(event.target)}
        elif found and event.kind in ("zero_grad", "forward", "backward"):
            break
    return found or None


def _is_cut(term: Term, stepped: set[int]) -> bool:
    if SOMETHING in term.live or any(_reaches(held, stepped) for held in term.live):
        return False
    return any(_reaches(held, stepped) for held in term.cut)


def _reaches(held: Hashable, stepped: set[int]) -> bool:
    found = held.it if isinstance(held, Held) else None
    if isinstance(found, nn.Module):
        return any(id(parameter) in stepped for parameter in found.parameters())
    return isinstance(found, torch.Tensor) and id(found) in stepped


def _cancels(term: Term, terms: Sequence[Term]) -> bool:
    """`a - a.detach()` is a way to give a loss another value and the same gradient."""
    return any(other is not term and other.sign != term.sign and other.code in term.code for other in terms)


def first_cut(reading: Reading) -> str | None:
    """The first line of the loop that cuts something off before backward()."""
    before: list[str] = []
    for event in reading.events:
        if event.kind == "backward":
            return before[-1] if before else None
        if event.kind == "cut":
            before.append(event.place)
    return None
