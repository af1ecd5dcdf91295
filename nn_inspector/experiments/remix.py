"""Mixes the items of batches that are already made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils import _pytree

from nn_inspector.experiments.batch_contents import batch_size
from nn_inspector.experiments.random_state import preserved_random_state
from nn_inspector.stats import is_dense


def remix(pool: list[Any], size: int | None = None) -> Iterator[Any]:
    """Items of all batches in the pool, in random order, in batches of `size` (of the largest batch's if None).

    Batches that cannot be taken apart, for example because they are padded to different lengths, stay whole and come in
    random order.
    """
    columns = _columns(pool)
    if columns is None:
        for place in torch.randperm(len(pool)).tolist():
            yield pool[place]
        return
    size = size or max(batch_size(batch) for batch in pool)
    structure = _pytree.tree_flatten(pool[0])[1]
    for chosen in torch.randperm(len(columns[0])).split(size):
        parts = [
            part[chosen] if isinstance(part, torch.Tensor) else [part[i] for i in chosen.tolist()] for part in columns
        ]
        yield _pytree.tree_unflatten(parts, structure)


def draw(pool: list[Any], weights: torch.Tensor, count: int) -> list[Any] | None:
    """`count` batches of items drawn with replacement, in proportion to their weights.

    Args:
        pool: batches.
        weights: of their items in order, [items].
        count: how many batches.

    Returns:
        None if the batches cannot be taken apart.
    """
    columns = _columns(pool)
    if columns is None or len(columns[0]) != len(weights):
        return None
    size, structure = max(batch_size(batch) for batch in pool), _pytree.tree_flatten(pool[0])[1]
    with preserved_random_state(0):
        chosen = torch.multinomial(weights.cpu(), count * size, replacement=True).split(size)
    return [_pytree.tree_unflatten([part[rows] for part in columns], structure) for rows in chosen]


def _columns(pool: list[Any]) -> list[Any] | None:
    """Each tensor of a batch's structure over all batches; None if they do not fit together, or are graphs."""
    flattened = [_pytree.tree_flatten(batch) for batch in pool]
    leaves, structure = flattened[0]
    if not leaves or any(other != structure for _, other in flattened):
        return None
    columns = []
    for place in range(len(leaves)):
        parts = [parts[place] for parts, _ in flattened]
        if not all(isinstance(part, torch.Tensor) and part.dim() for part in parts):
            return None
        if any(_kind(part) != _kind(parts[0]) or not is_dense(part) for part in parts):
            return None
        columns.append(torch.cat(parts))
    items = sum(batch_size(batch) for batch in pool)
    fit = all(len(column) == items for column in columns) and not _are_graphs(pool)
    return columns if fit else None


def _kind(part: torch.Tensor) -> tuple[torch.Size, torch.dtype]:
    return part.shape[1:], part.dtype


def _are_graphs(pool: list[Any]) -> bool:
    """Whether each batch holds a table of its items with its items, beside what is known of each: they belong together."""
    tables = [[leaf for leaf in _pytree.tree_leaves(batch) if leaf.dim() == 2] for batch in pool]
    squares = [[leaf for leaf in leaves if leaf.shape[0] == leaf.shape[1]] for leaves in tables]
    return all(0 < len(square) < len(leaves) for square, leaves in zip(squares, tables, strict=True))
