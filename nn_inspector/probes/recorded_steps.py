"""The first steps of a loop that has no loader: how each computed its loss, and of what."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.probes.tape import BatchPart, Foreign, ModuleCall, Tape
from nn_inspector.probes.tape_check import gives_the_same
from nn_inspector.probes.tape_draft import Draft
from nn_inspector.probes.tape_making import NotReplayable, agree, distinct_objectives, tape_of

STEPS = 16
"""So many steps are recorded."""

MOST_BYTES = 32 << 20
"""What enters the recorded steps is copied up to this size; larger tensors are there only as long as the user has them."""

_CHECKED = 3
"""The programs of so many steps are held against the loss that the loop got."""


@dataclass(eq=False, slots=True)
class Program:
    """Stands first in a batch that is one recorded step: its own program, which works on what follows."""

    tape: Tape


def program_of(batch: object) -> Tape | None:
    """The program of a batch that is a whole step; None of any other batch."""
    first = batch[0] if isinstance(batch, tuple) and len(batch) else None
    return first.tape if isinstance(first, Program) else None


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded.

    Attributes:
        tape: the one program of all steps; None where each has its own, and is a whole that cannot be taken apart.
        batches: the tensors of each step, without small ones that are the same in all of them; steps that are the same are there once.
            An input of the model and one other part are a pair, else it is a dict that says what each is. Where each step has its own
            program, a tuple in which that stands first.
        own_answers: whether the data are made with what the network answers, as in a game that it plays: another network
            would have met others.
    """

    tape: Tape | None
    batches: list[Any]
    own_answers: bool


class RecordedSteps:
    """Keeps the program of each of the first steps, and what entered it.

    What does not depend on the model is taken as it came: drawn points, items that were chosen, targets. Where the loop looks
    at answers of the network to decide what to do, or draws from them, so is all that has no gradient: actions, rewards.

    Fulfils `Passes`: each step is a pass.
    """

    has_batch = False

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._bytes = 0
        self._result: Recording | None = None
        self.reason: str | None = None

    @property
    def done(self) -> bool:
        """Whether no more steps are wanted."""
        return len(self._steps) >= STEPS or self.reason is not None

    @property
    def tape(self) -> Tape | None:
        """The one program of all steps, as far as they have one."""
        return self.recording.tape if self.recording is not None else None

    def refuse(self, reason: str) -> None:
        """The steps cannot be repeated."""
        self.reason, self._steps, self._result = reason, [], None

    def start_anew(self) -> None:
        """From now on more is seen."""
        self._steps, self._result, self._bytes = [], None, 0

    def check(self, draft: Draft, end: tuple[int, int], objective: torch.Tensor, loss_fn: object) -> None:
        """Hold what was seen of a step against its loss, while that is at hand.

        Raises:
            NotReplayable: it gives another one.
        """
        if len(self._steps) >= _CHECKED or draft.problem is not None:
            return
        data = _data_of(draft)
        try:
            tape_of(draft, [end], data)
        except NotReplayable:
            if draft.late:
                return
            raise
        if not gives_the_same(draft, end, objective, loss_fn, data):
            raise NotReplayable("What was seen of the loop does not give the loss that it had.")

    def add(self, draft: Draft) -> None:
        """A step is over. One whose beginning was not seen, as of the first one, is left out if that matters.

        Raises:
            NotReplayable: it cannot be made again.
        """
        try:
            if draft.objectives:
                self._add(draft)
        except NotReplayable:
            if not draft.late:
                raise

    def _add(self, draft: Draft) -> None:
        if draft.problem is not None:
            raise NotReplayable(draft.problem)
        data = _data_of(draft)
        tape = tape_of(draft, distinct_objectives(draft, data), data)
        if not tape.calls_model:
            return
        entered = [source.path[0][1] for source in tape.inputs.values() if isinstance(source, BatchPart)]
        places = {number: place for place, number in enumerate(entered)}
        inputs = {
            number: BatchPart((("item", places[source.path[0][1]]),)) if isinstance(source, BatchPart) else source
            for number, source in tape.inputs.items()
        }
        values = [draft.values[number] for number in entered]
        own = _looks(draft) and any(value.of_data or value.taught for value in values)
        own |= any(value.taught for value in values)
        parts = [self._keep(*draft.entered[number]) for number in entered]
        self._steps.append(_Step(dataclasses.replace(tape, inputs=inputs), parts, own, draft.reads_answers))
        self._result = None

    def _keep(self, tensor: torch.Tensor, version: int) -> _Part:
        earlier = next((part for step in self._steps[-1:] for part in step.parts if part.held() is tensor), None)
        before = version if earlier is None else earlier.version
        if tensor.requires_grad and not before == version == tensor._version:
            raise NotReplayable("Parameters take part that do not belong to the model.")
        if tensor._version != version:
            raise NotReplayable("The loop changes a tensor in place that its loss was computed of.")
        if earlier is not None and before == version:
            return earlier
        size = tensor.numel() * tensor.element_size()
        fits = self._bytes + size <= MOST_BYTES
        self._bytes += size if fits else 0
        kept = tensor.detach().clone().requires_grad_(tensor.requires_grad) if fits else None
        return _Part(weakref.ref(tensor), version, kept)

    @property
    def recording(self) -> Recording | None:
        """What was recorded; None if there is nothing."""
        if self._result is None and self._steps:
            try:
                self._result = _together(self._steps)
            except NotReplayable as answer:
                self.refuse(str(answer))
        return self._result


@dataclass(eq=False, slots=True)
class _Part:
    """A tensor that entered a step."""

    held: Callable[[], torch.Tensor | None]
    version: int
    kept: torch.Tensor | None

    def get(self) -> torch.Tensor:
        """The tensor as it was.

        Raises:
            NotReplayable: it was too large to be kept, and is gone or another by now.
        """
        if self.kept is not None:
            return self.kept
        held = self.held()
        if held is None or held._version != self.version:
            raise NotReplayable("What the loss was computed of was too large to be kept, and does not exist any more.")
        return held

    def is_same(self, other: _Part) -> bool:
        """Whether both are one tensor that was not changed, or have the same values."""
        held = self.held()
        if self is other or (held is not None and held is other.held() and self.version == other.version):
            return True
        a, b = self.kept, other.kept
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
            return False
        return bool(torch.equal(a, b))


@dataclass(slots=True)
class _Step:
    """One step.

    Attributes:
        tape: its program.
        parts: what it works on.
        own: whether answers of the network, or of another one that may be trained as well, are among them.
        reads: whether the loop took numbers out of answers.
    """

    tape: Tape
    parts: list[_Part]
    own: bool
    reads: bool


def _looks(draft: Draft) -> bool:
    return draft.reads_answers or draft.decides or draft.samples_answers


def _data_of(draft: Draft) -> dict[int, torch.Tensor]:
    """What entered a step, by number."""
    looks = _looks(draft)
    values = draft.values
    return {
        number: tensor
        for number, (tensor, _) in draft.entered.items()
        if values[number].leaf and (looks or not values[number].of_data)
    }


def _together(steps: Sequence[_Step]) -> Recording:
    own = any(step.own for step in steps)
    distinct: list[_Step] = []
    for step in steps:
        if not any(_are_same(step, other) for other in distinct):
            distinct.append(step)
    own |= len(distinct) > 1 and sum(step.reads for step in steps) > len(steps) / 2
    if not own:
        try:
            return _one_program(distinct)
        except NotReplayable:
            pass
    return Recording(None, [(Program(step.tape), *(part.get() for part in step.parts)) for step in distinct], own)


def _one_program(steps: Sequence[_Step]) -> Recording:
    tape = steps[0].tape
    for step in steps[1:]:
        tape = agree(tape, step.tape, numbers_were_read=step.reads)
    inputs = dict(tape.inputs)
    rows: dict[int, int] = {}
    for number, source in tape.inputs.items():
        if not isinstance(source, BatchPart):
            continue
        place = source.path[0][1]
        parts = [step.parts[place] for step in steps]
        first = parts[0].get()
        constant = all(part.is_same(parts[0]) for part in parts) and not first.requires_grad
        if constant and (first.dim() == 0 or len(first) != tape.items):
            inputs[number] = dataclasses.replace(Foreign.of(first), held=_always(first))
        else:
            rows[number] = place
    keys = _keys(tape, list(rows))
    inputs |= {number: BatchPart((("item", keys[number]),)) for number in rows}
    found = [{keys[number]: step.parts[place].get() for number, place in rows.items()} for step in steps]
    is_pair = list(keys.values()) == [0, 1]
    batches = [tuple(batch.values()) if is_pair else batch for batch in found]
    return Recording(dataclasses.replace(tape, inputs=inputs), batches, own_answers=False)


def _keys(tape: Tape, numbers: Sequence[int]) -> dict[int, Any]:
    """Under what the parts of a batch stand: of an input of the model and one other part 0 and 1, else names that say what they are."""
    inputs = [number for number in numbers if _reaches_model(tape, number)]
    others = [number for number in numbers if number not in inputs]
    if len(inputs) == len(others) == 1:
        return {inputs[0]: 0, others[0]: 1}
    named = {number: f"input_{place}" for place, number in enumerate(inputs)}
    return named | {number: f"target_{place}" for place, number in enumerate(others)}


def _reaches_model(tape: Tape, number: int) -> bool:
    """Whether the model is given a value, or something made of it."""
    reached = {number}
    for operation in tape.operations:
        if reached.isdisjoint(operation.used):
            continue
        if isinstance(operation.call, ModuleCall) and operation.call.owner == "model":
            return True
        reached |= {result for _, result in operation.results} | operation.written
    return False


def _always(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: tensor


def _are_same(a: _Step, b: _Step) -> bool:
    alike = len(a.parts) == len(b.parts) and len(a.tape.operations) == len(b.tape.operations)
    return alike and bool(a.parts) and all(part.is_same(other) for part, other in zip(a.parts, b.parts, strict=True))
