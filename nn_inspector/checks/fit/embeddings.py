"""Losses that compare items with each other: the rows that they compare, how far apart those are, and which belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from nn_inspector.experiments import TrainingCopy, batch_size, preserved_random_state, tensors_of
from nn_inspector.experiments.batch_contents import map_leaves

Kind = Literal["pairs", "triplets", "classes", "partners"]
"""What says which rows belong together: a label of each pair, the place in a triplet, the classes of the items, or that all pairs
are of two that belong together, as two views of an item."""

Compared = tuple[torch.Tensor, torch.Tensor]
"""Distances [comparisons], and for each 1 or 0: whether the label, or what stands for it, is the higher one."""

FEWEST = 8
"""Of fewer items nothing is said."""

_PAIR = 2
_MOST_TABLES = 3
_LEARNED = 2
"""With the rows fixed, so many numbers at most may be learned behind them (a scale, an offset): else a layer judges them, and
what is near has no meaning."""

_FACTORS = (1, 4, 16)
_MOVED = 0.3

_SAME = 1e-5


@dataclass(frozen=True, slots=True)
class Embedding:
    """Where a loss gets the rows from that it compares.

    Attributes:
        module: the module that makes them, by name.
        calls: how often it is called for a batch.
        tables: how many rows each item has.
        kind: what says which of them belong together.
        labels: the places of the labels among the batch's tensors.
        values: the lower and the higher label of a pair.
        cosine: whether the loss does not depend on the lengths of the rows.
        anchor: of triplets: the table that both others are compared with, and the one that the loss pulls to it.
    """

    module: str
    calls: int
    tables: int
    kind: Kind
    labels: tuple[int, ...] = ()
    values: tuple[float, float] = (0.0, 1.0)
    cosine: bool = False
    anchor: tuple[int, int] = (0, 1)

    @property
    def known(self) -> bool:
        """Whether it is known what belongs together; of pairs, 1 may mean alike or different."""
        return self.kind in ("classes", "partners")

    def compared(self, tables: Sequence[torch.Tensor], batch: Any) -> Compared:
        """The distances that matter, and the labels of each."""
        labels = [part.detach().flatten().to(tables[0].device) for part in _parts(batch, self.labels)]
        if self.kind == "pairs":
            return self.distance(*tables), (labels[0].float() == self.values[1]).float()
        if self.kind == "triplets":
            anchor, pulled = self.anchor
            pushed = 3 - anchor - pulled
            near, far = (self.distance(tables[anchor], tables[other]) for other in (pulled, pushed))
            return torch.cat([near, far]), torch.cat([torch.ones_like(near), torch.zeros_like(far)])
        if self.kind == "partners":
            apart = self.distance(tables[0][:, None], tables[1][None])
            return apart.flatten(), torch.eye(len(apart), device=apart.device).flatten()
        if len(tables) > 1:
            return self.distance(*tables), (labels[0] == labels[1]).float()
        apart = self.distance(tables[0][:, None], tables[0][None])
        same = (labels[0][:, None] == labels[0][None]).float()
        others = ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        return apart[others], same[others]

    def distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Between rows: 1 - cosine where only their directions count."""
        if self.cosine:
            return 1 - nn.functional.cosine_similarity(first, second, dim=-1)
        return (first - second).square().sum(-1).add(1e-12).sqrt()


def embedding_of(copied: TrainingCopy, batch: Any, *, single: bool = False) -> Embedding | None:
    """How the loss compares items, or None where it is not seen to do so.

    Args:
        copied: see `isolated`; its gradients are cleared.
        batch: what the loader yields.
        single: whether one table, of items with classes, is looked for; else two or three.

    Raises:
        ExperimentError: the batch does not fit.
    """
    size = batch_size(batch)
    if size < FEWEST:
        return None
    copied.model.eval()
    place = _single(copied, batch, size) if single else _repeated(copied, batch, size)
    if place is None:
        return None
    module, calls, tables = place
    found = Embedding(module, calls, tables, "triplets")
    rows = drawn_rows(copied, found, batch)
    if _judged_by_layers(copied, found, rows, batch):
        return None

    def loss(tables: Sequence[torch.Tensor], other: Any = batch) -> float:
        return float(loss_of(copied, found, tables, other))

    with torch.no_grad():
        cosine = _ignores_length(loss, rows)
        kind, labels, values = _labels(found, loss, rows, batch, size)
    if kind is None:
        return None
    return Embedding(module, calls, tables, kind, labels, values, cosine)


def loss_of(copied: TrainingCopy, found: Embedding, tables: Sequence[torch.Tensor], batch: Any) -> torch.Tensor:
    """The user's loss of these rows in place of the network's."""
    outputs = list(tables) if found.calls > 1 else [torch.cat(list(tables))]
    calls = iter(outputs)
    module = copied.model.get_submodule(found.module)
    handle = module.register_forward_hook(lambda _module, _args, _output: next(calls, outputs[-1]))
    try:
        with preserved_random_state(0):
            return copied.loss(batch)
    finally:
        handle.remove()


def rows_of(copied: TrainingCopy, found: Embedding, batch: Any) -> list[torch.Tensor]:
    """The rows that the network makes of a batch, one table for each part, with their graph.

    Raises:
        ExperimentError: the batch does not fit.
    """
    outputs: list[torch.Tensor] = []
    module = copied.model.get_submodule(found.module)
    handle = module.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    instead, copied.instead = copied.instead, None
    try:
        copied.loss(batch)
    finally:
        handle.remove()
        copied.instead = instead
    return outputs if found.calls > 1 else list(outputs[0].chunk(found.tables))


def drawn_rows(copied: TrainingCopy, found: Embedding, batch: Any) -> list[torch.Tensor]:
    """Random rows, as wide as those of the network, or wider where those give the loss no gradient: they are within its margin."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        rows = rows_of(copied, found, batch)
        spread = float(torch.cat(rows).std()) or 1.0
        drawn = [torch.randn(table.shape, generator=generator).to(table) for table in rows]
    wider = [table * spread for table in drawn]
    for factor in _FACTORS:
        wider = [table * spread * factor for table in drawn]
        free = [table.clone().requires_grad_() for table in wider]
        loss = loss_of(copied, found, free, batch)
        if loss.requires_grad:
            loss.backward()
        moved = [table.grad.any(1).float().mean() for table in free if table.grad is not None]
        if moved and float(sum(moved)) / len(moved) >= _MOVED:
            break
    copied.model.zero_grad(set_to_none=True)
    return wider


def _runs(copied: TrainingCopy, batch: Any) -> list[tuple[str, torch.Tensor | None]]:
    """The modules in the order in which they returned, with their outputs if those are rows."""
    runs: list[tuple[str, torch.Tensor | None]] = []

    def note(name: str) -> Callable[..., None]:
        def noted(_module: nn.Module, _args: Any, output: Any) -> None:
            rows = isinstance(output, torch.Tensor) and output.dim() == 2 and output.shape[1] > 1
            runs.append((name, output if rows and output.is_floating_point() else None))

        return noted

    handles = [module.register_forward_hook(note(name)) for name, module in copied.model.named_modules()]
    try:
        with torch.no_grad():
            copied.loss(batch)
    finally:
        for handle in handles:
            handle.remove()
    return runs


def _repeated(copied: TrainingCopy, batch: Any, size: int) -> tuple[str, int, int] | None:
    """The last module that makes rows of every part of the batch in turn, or of all together: its calls and its tables."""
    runs = _runs(copied, batch)
    for name in dict.fromkeys(name for name, _ in reversed(runs)):
        outputs = [output for run, output in runs if run == name]
        shapes = {None if output is None else tuple(output.shape) for output in outputs}
        if len(shapes) != 1 or None in shapes:
            continue
        rows = next(len(output) for output in outputs if output is not None)
        if 1 < len(outputs) <= _MOST_TABLES and rows == size:
            return name, len(outputs), len(outputs)
        if len(outputs) == 1 and rows in (2 * size, _MOST_TABLES * size):
            return name, 1, rows // size
    return None


def _single(copied: TrainingCopy, batch: Any, size: int) -> tuple[str, int, int] | None:
    runs = [(name, output) for name, output in _runs(copied, batch) if output is not None and len(output) == size]
    if not runs or [name for name, _ in runs].count(runs[-1][0]) != 1:
        return None
    return runs[-1][0], 1, 1


def _judged_by_layers(copied: TrainingCopy, found: Embedding, rows: Sequence[torch.Tensor], batch: Any) -> bool:
    """Whether a layer stands between the rows and the loss."""
    before, copied.penalty = copied.penalty, False
    copied.model.zero_grad(set_to_none=True)
    try:
        loss = loss_of(copied, found, [table.detach().requires_grad_() for table in rows], batch)
        if not loss.requires_grad:
            return True
        loss.backward()
        moved = [p for p in copied.model.parameters() if p.grad is not None and bool(p.grad.any())]
        return any(parameter.numel() > _LEARNED for parameter in moved)
    finally:
        copied.penalty = before
        copied.model.zero_grad(set_to_none=True)


def _ignores_length(loss: Callable[..., float], rows: Sequence[torch.Tensor]) -> bool:
    lengths = torch.rand(len(rows[0]), 1, generator=torch.Generator().manual_seed(0)).to(rows[0]) + 0.5
    before, after = loss(rows), loss([table * lengths for table in rows])
    return abs(after - before) <= _SAME * (1 + abs(before))


def _labels(
    found: Embedding, loss: Callable[..., float], rows: Sequence[torch.Tensor], batch: Any, size: int
) -> tuple[Kind | None, tuple[int, ...], tuple[float, float]]:
    """What says which rows belong together, with the places of the labels and both values of them."""
    between = (0.0, 1.0)
    if found.tables == _MOST_TABLES:
        return "triplets", (), between
    vectors = {
        place: part
        for place, part in enumerate(tensors_of(batch))
        if part.numel() == size and part.dim() in (1, 2) and not part.is_complex() and len(part.unique()) > 1
    }
    classes = tuple(p for p, part in vectors.items() if not part.is_floating_point() and 1 < len(part.unique()) < size)
    used = [p for p in classes if abs(loss(rows, with_label(batch, p, lambda part: part.roll(1))) - loss(rows)) > _SAME]
    if len(used) == len(classes) == found.tables:
        return "classes", classes, between
    told = []
    for place, part in vectors.items() if found.tables > 1 else ():
        values = [float(value) for value in part.unique()]
        if len(values) == 2 and abs(loss(rows, turned(batch, place, sum(values))) - loss(rows)) > _SAME:
            told.append((place, (values[0], values[1])))
    if len(told) == 1:
        return "pairs", (told[0][0],), told[0][1]
    return "partners" if not told and _pulls_partners(loss, rows) else None, (), between


def _pulls_partners(loss: Callable[..., float], rows: Sequence[torch.Tensor]) -> bool:
    """Whether the loss of two tables does not depend on the place of a pair, so on nothing else of the batch, but on who is whose."""
    if len(rows) != _PAIR:
        return False
    before = loss(rows)
    together, apart = loss([table.roll(1, 0) for table in rows]), loss([rows[0], rows[1].roll(1, 0)])
    slack = _SAME * (1 + abs(before))
    return abs(together - before) <= slack < abs(apart - before)


def turned(batch: Any, place: int, total: float) -> Any:
    """The batch with both values of a label exchanged.

    Example:
        >>> turned([torch.ones(2, 3), torch.tensor([1, 0])], 1, 1.0)[1]
        tensor([0, 1])
    """
    return with_label(batch, place, lambda part: (total - part.double()).to(part.dtype))


def with_label(batch: Any, place: int, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The batch with one of its tensors changed."""
    part = list(tensors_of(batch))[place]
    return map_leaves(batch, lambda leaf: change(leaf) if leaf is part else leaf)


def _parts(batch: Any, places: Sequence[int]) -> list[torch.Tensor]:
    parts = list(tensors_of(batch))
    return [parts[place] for place in places]
