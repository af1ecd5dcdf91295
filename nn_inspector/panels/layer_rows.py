"""Which layers share a row of a panel, where there are more layers than rows that one can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

from nn_inspector.panels.row_names import meet, name_together, numbered

MOST_ROWS = 24
"""With more layers than this, those of one block are taken together."""

MOST_UNFOLDED = 12
"""So many rows at most take the place of a row that is selected."""

_WORTH_IT = 3
"""So many rows each of several blocks has to become before any of its neighbours inside are taken together."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        name: the layer; of several the block, or the blocks from which to which.
        layers: those in it, in the order of the model.
        whole: whether it is one block, and not several siblings together.
    """

    name: str
    layers: tuple[str, ...]
    whole: bool = True


def rows_for(layers: Sequence[str], selected: str | None = None) -> tuple[Row, ...]:
    """The rows of a panel that shows these layers.

    As long as there are few, each has its own. Otherwise the largest blocks are taken apart first, all that are alike (`h.0`, `h.1`,
    ...) in the same way, and neighbours with numbers share a row where they are too many. What is selected is taken apart further: a
    block once, and whatever a selected layer is in until the layer has a row.

    Args:
        layers: their names, each once, in the order of the model.
        selected: a layer, a block, or the name of a row.
    """
    return _rows_for(tuple(layers), selected)


@lru_cache(maxsize=256)
def _rows_for(layers: tuple[str, ...], selected: str | None) -> tuple[Row, ...]:
    rows = grouped(layers)
    chosen = {layer for layer in layers if selected is not None and meet(layer, selected)}
    while chosen:
        around = next((row for row in rows if len(row.layers) > 1 and chosen <= set(row.layers)), None)
        if around is None:
            break
        rows = _in_order(chain.from_iterable(_unfolded(row) if row is around else [row] for row in rows), layers)
        if chosen == set(around.layers):
            break
    return rows


@lru_cache(maxsize=64)
def grouped(layers: tuple[str, ...], most: int = MOST_ROWS) -> tuple[Row, ...]:
    """As many rows as fit, from the whole model on: each layer is in exactly one of them.

    Args:
        layers: their names, each once, in the order of the model.
        most: rows, two or more.
    """
    if len(layers) <= most:
        return tuple(Row(layer, (layer,)) for layer in layers)
    rows, is_final = [Row("", layers)], set[str]()
    for to_the_last_row in (False, True):
        is_final = {row.name for row in rows if not row.whole}
        while families := _families(row for row in rows if len(row.layers) > 1 and row.name not in is_final):
            family = max(families, key=lambda rows: max(len(row.layers) for row in rows))
            finer = _finer(rows, family, most, only_whole=to_the_last_row)
            if finer is None:
                is_final |= {row.name for row in family}
            else:
                rows = finer
                is_final |= {row.name for row in rows if not row.whole}
    return _in_order(rows, layers)


def _families(rows: Iterable[Row]) -> list[list[Row]]:
    """Blocks whose names differ in their numbers alone."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(re.sub("[0-9]+", "*", row.name), []).append(row)
    return list(families.values())


def _finer(rows: list[Row], family: list[Row], most: int, *, only_whole: bool) -> list[Row] | None:
    """The rows with all of a family taken apart, into the smallest parts for which there is room; None if there is none.

    Args:
        rows: all.
        family: those to take apart.
        most: rows in the end.
        only_whole: into their blocks or not at all; otherwise the family gets what it has a share of the layers for, and neighbours
            are taken together if need be.
    """
    others, inside = len(rows) - len(family), sum(len(row.layers) for row in family)
    room = most - others
    if not only_whole:
        room = min(room, most * inside // sum(len(row.layers) for row in rows))
    parts = [_parts(row) for row in family]
    sizes = [1] if only_whole else range(1, max(len(inner) for inner in parts) + 1)
    may_list = [False, True] if len(family) == 1 and 2 * others < most and not only_whole else [False]
    for lists in may_list:
        for size in sizes:
            finer = [_together(row, inner, size, lists=lists) for row, inner in zip(family, parts, strict=True)]
            least = len(family) + 1 if size == 1 or len(family) == 1 else _WORTH_IT * len(family)
            if least <= sum(len(inner) for inner in finer) <= room:
                instead = {row.name: inner for row, inner in zip(family, finer, strict=True)}
                return list(chain.from_iterable(instead.get(row.name, [row]) for row in rows))
    return None


def _unfolded(row: Row) -> list[Row]:
    """What takes the place of a selected row: its blocks or layers, neighbours together if they are too many."""
    parts = _parts(row)
    for lists in (False, True):
        for size in range(1, len(parts)):
            rows = _together(row, parts, size, lists=lists)
            if 1 < len(rows) <= MOST_UNFOLDED:
                return rows
    return [Row(layer, (layer,)) for layer in row.layers]


def _parts(row: Row) -> list[Row]:
    """The blocks one level inside of a row of several layers; of a block with one block inside, those of that one."""
    depth = (row.name.count(".") + 1 if row.name else 0) + row.whole
    while True:
        found: dict[str, list[str]] = {}
        for layer in row.layers:
            found.setdefault(".".join(layer.split(".")[:depth]), []).append(layer)
        if len(found) > 1:
            return [Row(name, tuple(layers)) for name, layers in found.items()]
        depth += 1


def _together(row: Row, parts: list[Row], size: int, *, lists: bool) -> list[Row]:
    """Neighbouring parts of a row, so many at a time: those whose numbers follow each other, or any if `lists`."""
    rows, places = [], {layer: place for place, layer in enumerate(row.layers)}
    for run in _runs(parts, lists=lists):
        for start in range(0, len(run), size):
            some = run[start : start + size]
            layers = tuple(sorted(chain.from_iterable(part.layers for part in some), key=places.__getitem__))
            if len(layers) == 1:
                rows.append(Row(layers[0], layers))
            elif len(some) == len(parts):
                rows.append(row)
            else:
                is_one = len(some) == 1
                name = some[0].name if is_one else name_together([part.name for part in some])
                rows.append(Row(name, layers, whole=is_one))
    return rows


def _runs(parts: list[Row], *, lists: bool) -> list[list[Row]]:
    """Parts that can be taken together, in their order; never a block's own parameters with the blocks in it."""
    level = max(part.name.count(".") for part in parts)
    numbers = [numbered(part.name) for part in parts]
    ascending = sorted({number for number in numbers if number is not None})
    following = dict(pairwise(ascending))
    runs: list[list[Row]] = []
    last: tuple[str, int] | None = None
    for part, number in zip(parts, numbers, strict=True):
        is_next = last is not None and number is not None and last[0] == number[0] and following.get(last) == number
        may_join = lists and bool(runs) and part.name.count(".") == runs[-1][-1].name.count(".") == level
        if is_next or may_join:
            runs[-1].append(part)
        else:
            runs.append([part])
        last = number
    return runs


def _in_order(rows: Iterable[Row], layers: Sequence[str]) -> tuple[Row, ...]:
    places = {layer: place for place, layer in enumerate(layers)}
    return tuple(sorted(rows, key=lambda row: places[row.layers[0]]))
