"""Tables of embeddings that are multiplied with each other, as in matrix factorization, and a copy in which they have more columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from nn_inspector.checks.model.widening import take_over
from nn_inspector.experiments import Anatomy, TrainingCopy
from nn_inspector.experiments.flow import Flow, Kind, Node, flow_of

_BETWEEN: frozenset[Kind] = frozenset({"move", "dropout"})
_PRODUCTS = frozenset({"mul", "matmul", "bmm", "einsum"})
_TWO = 2


@dataclass(frozen=True, slots=True)
class Factors:
    """Tables whose rows are multiplied with each other and are used for nothing else.

    Attributes:
        names: of the modules.
        columns: of each table.
        rows: of all of them together.
    """

    names: tuple[str, ...]
    columns: int
    rows: int


def factors(seen: Anatomy) -> Factors | None:
    """The first tables of one pass that are multiplied with each other."""
    flow = flow_of(seen)
    tables = {f"{name}.weight": name for name, module in seen.model.named_modules() if type(module) is nn.Embedding}
    for node in flow:
        sides = _sides(flow, node, tables)
        if len(sides) >= _TWO and all(flow.after(side, _BETWEEN) == [node] for side in sides):
            names = tuple(tables[side.weight or ""] for side in sides)
            columns = {_columns(seen.model, name) for name in names}
            rows = sum(len(seen.model.get_parameter(f"{name}.weight")) for name in set(names))
            return Factors(names, columns.pop(), rows) if len(columns) == 1 else None
    return None


def _sides(flow: Flow, node: Node, tables: Mapping[str, str]) -> list[Node]:
    """What a product multiplies, if it is rows of tables and nothing else."""
    if node.call.name not in _PRODUCTS:
        return []
    before = flow.before(node, _BETWEEN)
    rows = [one for one in before if one is not None and one.weight in tables]
    return rows if len(rows) == len(before) else []


def _columns(model: nn.Module, name: str) -> int:
    return int(model.get_parameter(f"{name}.weight").shape[1])


def more_columns(copied: TrainingCopy, names: Collection[str], columns: int) -> None:
    """Give tables of a copy more columns, with fresh numbers as wide as the first ones; the optimizers step the new ones."""
    replaced: dict[int, nn.Parameter] = {}
    for name in dict.fromkeys(names):
        old = copied.model.get_submodule(name)
        assert isinstance(old, nn.Embedding), "it was chosen by its type"
        new = nn.Embedding(
            old.num_embeddings,
            columns,
            padding_idx=old.padding_idx,
            sparse=old.sparse,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        with torch.no_grad():
            new.weight.normal_(0.0, max(float(old.weight.std()), 1e-3))
        parent, _, last = name.rpartition(".")
        setattr(copied.model.get_submodule(parent), last, new)
        replaced[id(old.weight)] = next(new.parameters())
    for optimizer in copied.optimizers:
        take_over(optimizer, replaced)
