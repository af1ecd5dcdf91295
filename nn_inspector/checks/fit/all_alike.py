"""Items that do not differ: what the network is given is the same for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate

from nn_inspector.checks.base import Subject
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Start, isolated
from nn_inspector.experiments.one_pass import one_pass

_BATCHES = 8
_FEWEST = 8

_Given = tuple[torch.Tensor, ...]
"""What the network is given of one batch, each [items, ...]."""


def all_alike(subject: Subject) -> list[torch.Tensor] | None:
    """What the network is given for every item of some batches.

    Sequences may be of any length if they hold one number everywhere: how long they are, and where they end, is no content.

    Returns:
        The tensors of one item, of sequences their only number; None if items differ, if the network looks at none of them, or if it
        is not known.
    """
    if subject.seconds <= 0:
        return None
    try:
        with isolated(subject.training, start=Start()) as copied:
            passes = [one_pass(copied, batch) for batch in subject.batches()[:_BATCHES]]
    except ExperimentError:
        return None
    given = [tuple(one.inputs[0]) for one in passes if len(one.inputs) == 1 and one.inputs[0] and not one.blind[0]]
    if len(given) < len(passes) or not all(_is_plain(one, len(given[0])) for one in given):
        return None
    if sum(len(one[0]) for one in given) < _FEWEST:
        return None
    return _one_item(given) or _one_number(given)


def _is_plain(given: _Given, parts: int) -> bool:
    return len(given) == parts and all(one.dim() and one.numel() and not one.is_complex() for one in given)


def _one_item(given: Sequence[_Given]) -> list[torch.Tensor] | None:
    """The item that all of them are."""
    if min(part.dim() for one in given for part in one) < 2:
        return None
    first = [part[0].float() for part in given[0]]
    same = all(
        part.shape[1:] == row.shape and bool((part.float() == row).all())
        for one in given
        for part, row in zip(one, first, strict=True)
    )
    return first if same else None


def _one_number(given: Sequence[_Given]) -> list[torch.Tensor] | None:
    """The only number that sequences are made of, whose lengths and masks are told beside them."""
    found = []
    for parts in zip(*given, strict=True):
        number = parts[0].flatten()[:1].float()
        if min(part.dim() for part in parts) > 1 and all(bool((part.float() == number).all()) for part in parts):
            found.append(number)
        elif not all(_tells_where_it_ends(part, one) for part, one in zip(parts, given, strict=True)):
            return None
    return found or None


def _tells_where_it_ends(part: torch.Tensor, given: _Given) -> bool:
    """Whether it is the lengths of the sequences, or a mask that is the same up to where each of them ends."""
    longest = max((size for one in given for size in one.shape[1:2]), default=0)
    if part.dim() == 1:
        whole = not part.is_floating_point() and part.dtype != torch.bool
        return whole and int(part.min()) >= 1 and int(part.max()) <= longest
    steps = part.float().diff(dim=1)
    two = bool(((part == 0) | (part == 1)).all())
    return part.dim() == 2 and two and (bool((steps <= 0).all()) or bool((steps >= 0).all()))


def has_own_collate(loader: Any) -> bool:
    """Whether a function of the user's makes batches of items."""
    return (
        isinstance(loader, DataLoader) and loader.batch_sampler is not None and loader.collate_fn is not default_collate
    )
