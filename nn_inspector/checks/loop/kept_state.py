"""A state of the user's own that a network keeps from one batch to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import (
    BatchSource,
    TrainingCopy,
    initial_state,
    isolated,
    preserved_random_state,
    tensors_of,
)
from nn_inspector.plain_state import ABSENT, PlainState, changed, holds_tensors, plain_state, set_plain_state

_SAME = 1e-3
"""Relative; a device may add up in another order."""


@dataclass(frozen=True, slots=True)
class KeptState:
    """What a network keeps that its next answers depend on.

    Attributes:
        state: what it changes when it is called, as it was when watching began.
        apart: how far another batch before moves the answers, against their spread.
    """

    state: PlainState
    apart: float

    @property
    def places(self) -> list[str]:
        """The attributes, the deepest module's last."""
        return [
            f"{name}.{attribute}" if name else attribute
            for name, attributes in self.state.items()
            for attribute in attributes
        ]

    def begin_anew(self, copied: TrainingCopy) -> None:
        """Let a copy begin each batch with the state that it had when watching began."""
        copied.before_batch = lambda: set_plain_state(copied.model, self.state)


def kept_state(subject: Subject) -> KeptState | None:
    """Look on a copy whether the answers for a batch depend on which batch came before it.

    Returns:
        None where they do not, and where no copy can be asked.
    """
    if not plain_state(subject.training.model):
        return None
    try:
        batches = BatchSource(subject.training.train_loader, seconds=subject.seconds / 6).mixed(2)
        if len(batches) < 2:
            return None
        with isolated(subject.training, start=initial_state(subject.training, subject.run)) as copied:
            return _look(copied, subject.training.beginning.plain, *batches[:2])
    except ExperimentError:
        return None


def _look(copied: TrainingCopy, begun: PlainState, one: Any, other: Any) -> KeptState | None:
    copied.train_mode()
    set_plain_state(copied.model, begun)
    before = plain_state(copied.model)
    _answers(copied, one)
    kept = changed(plain_state(copied.model), before)
    if not holds_tensors(kept):
        return None
    state = {
        name: {attribute: begun.get(name, {}).get(attribute, ABSENT) for attribute in attributes}
        for name, attributes in kept.items()
    }
    set_plain_state(copied.model, state)
    fresh = _answers(copied, other)
    set_plain_state(copied.model, state)
    _answers(copied, one)
    apart = _apart(fresh, _answers(copied, other))
    return KeptState(state, apart) if apart > _SAME else None


def _answers(copied: TrainingCopy, batch: Any) -> list[torch.Tensor]:
    with torch.no_grad(), preserved_random_state(0):
        return [tensor.detach().clone() for tensor in tensors_of(copied.predict(batch)) if tensor.is_floating_point()]


def _apart(fresh: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """How far answers are from the fresh ones, against the spread of those; 0 where they cannot be compared."""
    if [tensor.shape for tensor in fresh] != [tensor.shape for tensor in after]:
        return 0.0
    spreads = (
        (float((two - one).abs().max()), float(one.std(correction=0))) for one, two in zip(fresh, after, strict=True)
    )
    return max((moved / max(spread, 1e-12) for moved, spread in spreads if moved > 0), default=0.0)
