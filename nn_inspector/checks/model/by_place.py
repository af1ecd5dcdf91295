"""Whether the answer for an item depends on where in its batch it stands: a batch that holds one item many times tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler, default_collate

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import Anatomy, TrainingCopy, batch_size, take_apart, tensors_of
from nn_inspector.experiments.batch_contents import select
from nn_inspector.experiments.flow import flow_of
from nn_inspector.training import Training

LEAST = 0.05
"""Answers for the same item differ if they do by this share of the spread among different items."""

_SAME = 1e-3
_FEWEST = 4
_RANDOM = frozenset(
    {
        "bernoulli", "dropout", "exponential", "multinomial", "normal", "poisson", "rand", "rand_like", "randint",
        "randint_like", "randn", "randn_like", "random", "randperm", "uniform", "gumbel_softmax",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ByPlace:
    """What tells the places of a batch from each other.

    Attributes:
        call: name of the function that brings it in.
        module: name of the module that calls it; "" for the model itself.
        tensor: name of the parameter or buffer that it is cut from, or None.
        shape: of what is different for each place.
        items: how many times the same item stood in the batch.
        answers: how many different answers came.
    """

    call: str
    module: str
    tensor: str | None
    shape: list[int]
    items: int
    answers: int


def comes_by_chance(training: Training, batch: Any, doubled: Any) -> bool:
    """Whether the first axis of the batches surely counts items, and where an item stands among them is chance.

    Args:
        training: whose loader is looked at.
        batch: of the loader's own size.
        doubled: one of twice as many items: a first axis that is time has the same length in both.
    """
    loader = training.train_loader
    if (
        not isinstance(loader, DataLoader)
        or isinstance(loader.dataset, IterableDataset)
        or loader.batch_sampler is None
    ):
        return False
    if isinstance(loader.sampler, SequentialSampler):
        return False
    counted = batch_size(batch) == loader.batch_size and batch_size(doubled) == 2 * batch_size(batch)
    return counted or loader.collate_fn is default_collate


def by_place(copied: TrainingCopy, doubled: Any, items: int) -> ByPlace | None:
    """Look whether the model answers differently for the same item at different places, in evaluation mode.

    Models that treat some groups of places alike (halves that are compared, members of an ensemble) are left aside, and so
    is whatever is drawn at random.

    Args:
        copied: a copy whose answers depend neither on other items nor on earlier batches.
        doubled: a batch of at least as many items as are looked at.
        items: how many those are.

    Returns:
        None if it does not, or if it cannot be told.
    """
    if items < _FEWEST:
        return None
    size = batch_size(doubled)
    try:
        alike = _pass(copied, select(doubled, torch.zeros(items, dtype=torch.long), size))
        fewer = _pass(copied, select(doubled, torch.zeros(items - 1, dtype=torch.long), size))
        if _answers(alike, fewer, items) is None:
            return None
        usual = _pass(copied, select(doubled, torch.arange(items), size))
        again = _pass(copied, select(doubled, torch.zeros(items, dtype=torch.long), size), seed=1)
    except ExperimentError:  # a model that is made for its own size of batch
        return None
    rows, other = _answers(alike, fewer, items), _answers(again, fewer, items)
    spread = _spread(usual)
    if rows is None or other is None or not spread > 0 or not bool(((rows - other).abs() <= _SAME * spread).all()):
        return None
    apart = torch.cdist(rows, rows, p=float("inf"))
    answers = sum(1 for place in range(items) if bool((apart[place, :place] > _SAME * spread).all()))
    if not float(apart.max()) > LEAST * spread or 2 * answers <= items:
        return None
    return _brought_in(alike, fewer, items, answers)


def _pass(copied: TrainingCopy, batch: Any, seed: int = 0) -> Anatomy:
    torch.manual_seed(seed)
    return take_apart(copied, batch, training=False, backward=False)


def _answers(seen: Anatomy, fewer: Anatomy, items: int) -> torch.Tensor | None:
    """The first output [items, ...] whose rows differ; None if there is none."""
    for output, other in zip(tensors_of(seen.output), tensors_of(fewer.output), strict=False):
        if not output.is_floating_point() or not bool(torch.isfinite(output).all()):
            continue
        rows = _differing(output, other, items)
        if rows is not None:
            return rows
    return None


def _spread(usual: Anatomy) -> float:
    output = next((one for one in tensors_of(usual.output) if one.is_floating_point()), None)
    return 0.0 if output is None else float(output.detach().double().std(0).mean())


def _differing(tensor: torch.Tensor, fewer: torch.Tensor, items: int) -> torch.Tensor | None:
    """The tensor as [items, ...] if it differs from item to item; None if it does not or has no such axis.

    The axis is the only one that is shorter for fewer items. It may hold several rows for each item, in either order.
    """
    if tensor.dim() != fewer.dim():
        return None
    shorter = [axis for axis in range(tensor.dim()) if tensor.shape[axis] != fewer.shape[axis]]
    if len(shorter) != 1 or tensor.shape[shorter[0]] * (items - 1) != fewer.shape[shorter[0]] * items:
        return None
    first = tensor.detach().double().movedim(shorter[0], 0)
    views = [first.reshape(items, -1)]
    if len(first) > items:
        views.append(first.reshape(-1, items, *first.shape[1:]).transpose(0, 1).reshape(items, -1))
    scale = float(first.abs().max())
    if any(bool(((one - one[:1]).abs() <= _SAME * scale).all()) for one in views):
        return None
    return views[0]


def _brought_in(seen: Anatomy, fewer: Anatomy, items: int, answers: int) -> ByPlace | None:
    """The first call on the items' data that makes them differ, by something that does not come from them."""
    if len(seen.calls) != len(fewer.calls):
        return None
    for place, node in flow_of(seen).nodes.items():
        pairs = zip(node.call.outputs, fewer.calls[place].outputs, strict=False)
        if all(_differing(one, other, items) is None for one, other in pairs):
            continue
        given = zip(node.call.inputs, fewer.calls[place].inputs, strict=False)
        guilty = next((one for one, other in given if _differing(one, other, items) is not None), None)
        if guilty is None:
            return None
        origin = list(_origin(seen, guilty, place))
        if any(call in _RANDOM for call, _ in origin):
            return None
        names = {id(one): name for name, one in [*seen.model.named_parameters(), *seen.model.named_buffers()]}
        tensor = next((names[number] for _, given in origin for number in given if number in names), None)
        return ByPlace(node.call.name, node.call.module or "", tensor, list(guilty.shape), items, answers)
    return None


def _origin(seen: Anatomy, tensor: torch.Tensor, place: int) -> Iterator[tuple[str, list[int]]]:
    """The calls that a tensor comes from: their names and the numbers (`id`) of the tensors that they were given."""
    wanted = {id(tensor)}
    for call in reversed(seen.calls[:place]):
        if wanted & {id(one) for one in call.outputs}:
            given = [id(one) for one in call.inputs]
            wanted.update(given)
            yield call.name, given
