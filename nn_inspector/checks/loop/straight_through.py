"""Rows of a table that are chosen by an argmin or argmax: the choice has no gradient, unless it is passed straight through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.lower_loss import far_lower_with
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.anatomy import Call
from nn_inspector.experiments.flow import LAYERS
from nn_inspector.experiments.rewiring import Spot, rewire
from nn_inspector.history import Trial

_CHOICES = frozenset({"argmin", "argmax"})
_LOOK_UPS = frozenset({"embedding", "index_select", "getitem"})
_MOVES = frozenset(
    {
        "view", "view_as", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze",
        "permute", "transpose", "movedim", "contiguous",
    }
)  # fmt: skip
"""What brings the rows into the shape that the next layer takes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows of a table that go to the next layer in place of what the network computed.

    Attributes:
        given: the call whose result is replaced.
        chosen: the call that looks the rows up; its result has the same shape.
        moves: calls that change the shape of the rows on their way.
        taken: the call of a layer that takes them.
    """

    given: Spot
    chosen: Spot
    moves: tuple[Spot, ...]
    taken: Spot


def choice_of(seen: Anatomy) -> Choice | None:
    """The first choice in a forward pass that goes to a layer as it is, and not by what was computed before it."""
    calls = _with_turns([call for call in seen.calls if call.module is not None])
    indices: set[int] = set()
    for place, (spot, call) in enumerate(calls):
        used, output = indices & {id(one) for one in call.inputs}, call.output
        if call.name in _CHOICES:
            indices |= {id(one) for one in call.outputs}
        elif used and output is not None and not output.is_floating_point():
            indices.add(id(output))
        elif used and output is not None and call.name in _LOOK_UPS:
            given, way = _given(calls[:place], used, output.shape), _way(calls[place + 1 :], output)
            return Choice(given, spot, *way) if given is not None and way is not None else None
    return None


def _with_turns(calls: Sequence[Call]) -> list[tuple[Spot, Call]]:
    turns: Counter[str] = Counter()
    found = []
    for call in calls:
        found.append(((call.name, turns[call.name]), call))
        turns[call.name] += 1
    return found


def _given(calls: Sequence[tuple[Spot, Call]], indices: Collection[int], shape: torch.Size) -> Spot | None:
    """The first call on the way to the indices that gave something trained of the shape of the rows."""
    before = set(indices)
    given = None
    for spot, call in reversed(calls):
        if before & {id(one) for one in call.outputs}:
            before |= {id(one) for one in call.inputs}
            if call.output is not None and call.output.shape == shape and call.output.requires_grad:
                given = spot
    return given


def _way(calls: Sequence[tuple[Spot, Call]], rows: torch.Tensor) -> tuple[tuple[Spot, ...], Spot] | None:
    """What the rows go through until a layer takes them, and which one."""
    moved = {id(rows)}
    moves: list[Spot] = []
    for spot, call in calls:
        if call.inputs and id(call.inputs[0]) in moved:
            if call.name in LAYERS:
                return tuple(moves), spot
            if call.name in _MOVES and call.output is not None:
                moved.add(id(call.output))
                moves.append(spot)
    return None


def passed_straight(subject: Subject) -> Trial | None:
    """A trial in which the gradient of what was chosen goes to what it was chosen for.

    Returns:
        None if nothing is chosen, or unless the same loss falls far lower so.
    """
    try:
        choice = choice_of(subject.anatomy("initial"))
    except ExperimentError:
        return None
    return far_lower_with(subject, lambda copied: _pass_straight(copied, choice)) if choice is not None else None


def _pass_straight(copied: TrainingCopy, choice: Choice) -> None:
    """Only the layer gets the other gradient: a loss on the rows themselves stays as it is."""
    given: list[torch.Tensor] = []
    beside: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def keep(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        given[:] = [function(*args, **kwargs)]
        beside.clear()
        return given[0]

    def choose(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        rows = function(*args, **kwargs)
        beside[id(rows)] = rows, given[0]
        return rows

    def move(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        rows = function(*args, **kwargs)
        beside[id(rows)] = rows, function(beside[id(args[0])][1], *args[1:], **kwargs)
        return rows

    def take(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        passed = beside[id(args[0])][1]
        return function(args[0] + (passed - passed.detach()), *args[1:], **kwargs)

    moves = dict.fromkeys(choice.moves, move)
    rewire(copied.model, {choice.given: keep, choice.chosen: choose, **moves, choice.taken: take})
