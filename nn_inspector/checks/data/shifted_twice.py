"""Targets of a language model that are shifted twice: the data give the next token, and the loop takes the one after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.experiments import Start, TrainingCopy, isolated, tensors_of
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.probes import LossCall

SAME = 0.98
"""Targets are the tokens of another position if this share of them is."""

_IGNORED = -100
_FEWEST = 8
_MOST_AHEAD = 4
_CHANGED = 1e-5
_TRAINED = 0.5


@dataclass(frozen=True, slots=True)
class ShiftedTwice:
    """What the loss asks for.

    Attributes:
        ahead: how many positions behind the last token that a prediction has seen the target stands; 1 is the next token.
        share: of the targets that are these tokens.
        positions: length of the sequences.
    """

    ahead: int
    share: float
    positions: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """One pass: tokens [items, times], predictions [items, rows, classes] and targets [items, rows]."""

    tokens: torch.Tensor
    prediction: torch.Tensor
    target: torch.Tensor
    ignored: int


def shifted_twice(subject: Subject) -> ShiftedTwice | None:
    """Whether the loss asks for a token further on than the next one, although the batch holds the next ones.

    Where the batch holds tokens of further on itself, they are meant. So they are for a small part that learns on top of a
    network that does not.

    Raises:
        ExperimentError: no experiment is possible.
    """
    parameters = list(subject.training.model.parameters())
    trained = sum(one.numel() for one in parameters if one.requires_grad)
    if subject.seconds <= 0 or trained < _TRAINED * sum(one.numel() for one in parameters):
        return None
    batch = subject.batches()[0]
    with isolated(subject.training, start=Start()) as copied:
        seen = _pass(copied, batch, None)
        if seen is None or not any(_ahead(seen.tokens, one, 0) == {1} for one in _others(batch, seen.tokens)):
            return None
        belongs = _belongs(copied, batch, seen)
    if belongs is None:
        return None
    ahead = _ahead(seen.tokens, seen.target, belongs, seen.ignored)
    if len(ahead) != 1 or min(ahead) <= 1:
        return None
    found = min(ahead)
    share = _share(seen.tokens, seen.target, belongs + found, seen.ignored)
    return ShiftedTwice(found, share, seen.tokens.shape[1])


def _pass(copied: TrainingCopy, batch: Any, exchanged: int | None) -> _Seen | None:
    """A pass in evaluation mode, with the tokens of one position handed on to the next item."""
    given: list[torch.Tensor] = []

    def exchange(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given.extend([one for one in tensors_of([args, kwargs]) if _are_tokens(one)][:1])
        if exchanged is None or not given:
            return None
        other = given[0].clone()
        other[:, exchanged] = other[:, exchanged].roll(1, 0)
        return (
            tuple(other if one is given[0] else one for one in args),
            {name: other if one is given[0] else one for name, one in kwargs.items()},
        )

    handle = copied.model.register_forward_pre_hook(exchange, with_kwargs=True)
    torch.manual_seed(0)
    try:
        seen = one_pass(copied, batch)
    finally:
        handle.remove()
    if len(seen.inputs) != 1 or not given or len(seen.calls) != 1:
        return None
    return _seen(given[0], seen.calls[0]) if seen.calls[0].name in ("cross_entropy", "nll_loss") else None


def _are_tokens(one: torch.Tensor) -> bool:
    return one.dim() == 2 and one.dtype in (torch.int64, torch.int32) and len(one) > 1 and one.shape[1] >= _FEWEST


def _seen(tokens: torch.Tensor, call: LossCall) -> _Seen | None:
    prediction, target, items = call.prediction.detach(), call.target.detach(), len(tokens)
    if target.is_floating_point() or target.numel() % items or prediction.dim() not in (2, 3):
        return None
    if prediction.dim() == 3:
        if len(prediction) != items:
            return None
        prediction = prediction.transpose(1, 2)
    rows = target.numel() // items
    if rows < _FEWEST - _MOST_AHEAD or rows > tokens.shape[1] or prediction.numel() % (items * rows):
        return None
    return _Seen(
        tokens,
        prediction.reshape(items, rows, -1),
        target.reshape(items, rows),
        int(call.options.get("ignore_index", _IGNORED)),
    )


def _others(batch: Any, tokens: torch.Tensor) -> Iterator[torch.Tensor]:
    for one in tensors_of(batch):
        if _are_tokens(one) and one.shape[0] == len(tokens) and not torch.equal(one.to(tokens.device), tokens):
            yield one.to(tokens.device)


def _belongs(copied: TrainingCopy, batch: Any, seen: _Seen) -> int | None:
    """By how many positions the last token that a prediction has seen stands behind it; None if it sees later ones as well."""
    times = seen.tokens.shape[1]
    found = set()
    for position in (times // 4, times // 2, 3 * times // 4):
        other = _pass(copied, batch, position)
        differ = seen.tokens[:, position] != seen.tokens[:, position].roll(1, 0)
        if other is None or other.prediction.shape != seen.prediction.shape or not bool(differ.any()):
            continue
        change = (other.prediction - seen.prediction)[differ].abs().amax(-1)
        rows = (change > _CHANGED * float(seen.prediction.abs().max())).any(0).nonzero().flatten()
        if not len(rows):
            return None
        found.add(position - int(rows[0]))
    return found.pop() if len(found) == 1 else None


def _ahead(tokens: torch.Tensor, target: torch.Tensor, belongs: int, ignored: int = _IGNORED) -> set[int]:
    """At which distances behind the last token seen the targets stand, of those that are looked at."""
    return {by for by in range(_MOST_AHEAD + 1) if _share(tokens, target, belongs + by, ignored) >= SAME}


def _share(tokens: torch.Tensor, target: torch.Tensor, by: int, ignored: int) -> float:
    """The share of the targets in each row that are the token `by` positions further on."""
    first, last = max(0, -by), min(target.shape[1], tokens.shape[1] - by)
    if last - first < _FEWEST // 2:
        return 0.0
    asked, there = target[:, first:last], tokens[:, first + by : last + by]
    counted = asked != ignored
    return float((asked == there)[counted].float().mean()) if bool(counted.any()) else 0.0
