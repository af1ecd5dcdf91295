"""Puts what was noted of several passes together: one program for the whole loop."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import torch

from nn_inspector.probes.tape import Tape
from nn_inspector.probes.tape_check import gives_the_same
from nn_inspector.probes.tape_draft import Draft
from nn_inspector.probes.tape_making import (
    NotReplayable,
    agree,
    distinct_objectives,
    tape_of,
    without_factor,
    without_share,
)

PASSES = 3
"""So many passes from a batch to backward() are compared; two that agree are enough where no third one is seen."""


@dataclass(slots=True)
class Accumulation:
    """How the loop makes the gradient of a step out of those of its passes.

    Attributes:
        passes: so many belong to a step.
        factor: by which the loop multiplies its gradients before the step; None where that is not known.
    """

    passes: int = 1
    factor: float | None = None

    def undone(self, tape: Tape) -> Tape:
        """The program of one pass alone.

        A share of an accumulated gradient is taken as a whole, and a scale that the loop takes from the gradients again is
        left out.
        """
        whole = without_share(tape, self.passes)
        if self.factor is None:
            return whole
        unscaled = without_factor(whole, 1 / self.factor)
        return unscaled if unscaled is whole else dataclasses.replace(unscaled, taken_back=1 / self.factor)


class Passes(Protocol):
    """Takes the passes of the first steps, one after the other.

    Attributes:
        has_batch: whether a pass begins with a batch of a loader.
        reason: why there is no program, in one sentence.
    """

    has_batch: bool
    reason: str | None

    @property
    def done(self) -> bool:
        """Whether no more passes are wanted."""

    @property
    def tape(self) -> Tape | None:
        """The program of the whole loop, as far as there is one by now."""

    def check(self, draft: Draft, end: tuple[int, int], objective: torch.Tensor, loss_fn: object) -> None:
        """Hold what was seen of a pass against its loss, while that is at hand.

        Raises:
            NotReplayable: it gives another one.
        """

    def add(self, draft: Draft) -> None:
        """A pass is over.

        Raises:
            NotReplayable: it cannot be made again.
        """

    def start_anew(self) -> None:
        """From now on more is seen: what was noted so far is not compared with it."""

    def refuse(self, reason: str) -> None:
        """There is no program, for this reason."""


class BatchPasses:
    """The passes of a loop with a loader: each computes the loss of its batch in the same way. Fulfils `Passes`.

    Args:
        accumulation: what the loop makes of them.
    """

    has_batch = True

    def __init__(self, accumulation: Accumulation) -> None:
        self.reason: str | None = None
        self._accumulation = accumulation
        self._count = 0
        self._agreed: Tape | None = None
        self._numbers_were_read = False

    @property
    def done(self) -> bool:
        """Whether no more passes are wanted."""
        return self._count == PASSES

    @property
    def tape(self) -> Tape | None:
        """The program, once two passes have agreed."""
        return None if self._agreed is None or self._count == 1 else self._accumulation.undone(self._agreed)

    def check(self, draft: Draft, end: tuple[int, int], objective: torch.Tensor, loss_fn: object) -> None:
        """As `Passes.check`."""
        if draft.late or draft.problem is not None or draft.decides:
            return
        tape_of(draft, [end])
        if not gives_the_same(draft, end, objective, loss_fn):
            raise NotReplayable("What was seen of the loop does not give the loss that it had.")

    def add(self, draft: Draft) -> None:
        """As `Passes.add`. One whose beginning was not seen is left out."""
        self._numbers_were_read |= draft.reads_numbers
        if draft.late or not (draft.objectives or draft.closed):
            return
        if draft.problem is not None:
            raise NotReplayable(draft.problem)
        if draft.decides:
            raise NotReplayable("The loop looks at the values of a tensor to decide what to do.")
        tape = tape_of(draft, distinct_objectives(draft))
        if not tape.calls_model:
            raise NotReplayable("The loss is computed without calling the model.")
        self._count += 1
        before = self._agreed
        self._agreed = tape if before is None else agree(before, tape, numbers_were_read=self._numbers_were_read)

    def start_anew(self) -> None:
        """As `Passes.start_anew`."""
        self._count, self._agreed = 0, None

    def refuse(self, reason: str) -> None:
        """As `Passes.refuse`."""
        self.reason, self._agreed = reason, None
