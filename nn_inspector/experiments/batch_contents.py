"""What a batch is made of: tensors within tuples, lists, mappings and data classes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from nn_inspector.errors import ArgumentError, ExperimentError, describe
from nn_inspector.probes import is_label_key, program_of
from nn_inspector.stats import is_dense


def batch_size(batch: Any) -> int:
    """How many items a batch holds: the first dimension of its first tensor.

    Raises:
        ExperimentError: there is no tensor in it, or it is a recorded step, which is a whole.
    """
    _refuse_whole(batch)
    for tensor in tensors_of(batch):
        if tensor.dim():
            return int(tensor.shape[0])
    raise ExperimentError(f"A batch should hold tensors, but it is {describe(batch)}.")


def distinct_items(batch: Any, count: int) -> Any:
    """The first `count` items of the batch whose inputs differ: one input with two labels cannot be learned by heart.

    The labels are not among the inputs: of a mapping, what stands under a key that says so; of a sequence, the last
    part, and of those between the first and the last what has one number for each item (labels, weights, lengths).

    Raises:
        ArgumentError: `count` is no number from 1.
        ExperimentError: there is no tensor in the batch, or a sparse one.
    """
    check_count("count", count)
    _refuse_sparse(batch)
    size = batch_size(batch)
    columns = [t.detach().reshape(size, -1).cpu() for t in tensors_of(_inputs(batch)) if t.dim() and t.shape[0] == size]
    seen: dict[bytes, int] = {}
    for item in range(size):
        key = b"".join(column[item].contiguous().view(torch.uint8).numpy().tobytes() for column in columns)
        seen.setdefault(key if columns else str(item).encode(), item)
    return select(batch, torch.tensor(list(seen.values())[:count]), size)


def select(batch: Any, chosen: torch.Tensor, size: int) -> Any:
    """The chosen items of a batch of `size` items.

    Raises:
        ExperimentError: the batch holds a sparse tensor.
    """
    _refuse_sparse(batch)
    _refuse_whole(batch)

    def choose(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value[chosen.to(value.device)] if value.dim() and value.shape[0] == size else value
        if _is_one_each(value, size):
            return type(value)(value[index] for index in chosen.tolist())
        return value

    return map_leaves(batch, choose, size)


def _is_one_each(value: Any, size: int | None) -> bool:
    """Whether it is a list of something for each item, or a tuple of texts, as torch's own collate function makes it."""
    if type(value) is tuple:
        return len(value) == size and all(isinstance(one, str) for one in value)
    return isinstance(value, list) and len(value) == size and not any(isinstance(one, torch.Tensor) for one in value)


def to_device(batch: Any, device: torch.device) -> Any:
    """A copy of the batch with its tensors on `device`: what works on it in place changes nothing of the user's."""

    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().to(device, copy=True).requires_grad_(value.requires_grad)
        return copy.copy(value).to(device) if callable(getattr(value, "to", None)) else value

    return map_leaves(batch, move)


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a structure, in order, but for sparse ones: those say how items belong together, as edges do."""
    yield from (tensor for tensor in _all_tensors(value) if is_dense(tensor))


def _all_tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for part in value.values() for tensor in _all_tensors(part))
    elif isinstance(value, list | tuple):
        yield from (tensor for part in value for tensor in _all_tensors(part))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (
            tensor for field in dataclasses.fields(value) for tensor in _all_tensors(getattr(value, field.name))
        )


def map_leaves(value: Any, change: Callable[[Any], Any], items: int | None = None) -> Any:
    """A copy of a structure with what it holds changed; its tuples, lists, mappings and data classes stay what they are.

    Args:
        value: the structure.
        change: makes the new leaf of an old one.
        items: a list of so many parts without a tensor among them, or a tuple of so many texts, is a leaf: one entry for each item.
    """

    def within(part: Any) -> Any:
        return map_leaves(part, change, items)

    if isinstance(value, Mapping):
        changed: Any = _as_mapping(value, {key: within(part) for key, part in value.items()})
    elif isinstance(value, PackedSequence) or _is_one_each(value, items):
        changed = change(value)
    elif isinstance(value, list | tuple):
        parts = [within(part) for part in value]
        changed = type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(changed, field.name, within(getattr(value, field.name)))
    else:
        changed = change(value)
    return changed


def check_count(name: str, value: object) -> None:
    """Raise `ArgumentError` unless `value` is a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(name, expected="a whole number from 1", got=repr(value), advice="Ask for one at least.")


def _refuse_whole(batch: Any) -> None:
    if program_of(batch) is not None:
        raise ExperimentError(
            "The steps of your loop differ in what they compute, or the network makes their data itself: they cannot be taken apart "
            "to items."
        )


def _refuse_sparse(batch: Any) -> None:
    if any(not is_dense(tensor) for tensor in _all_tensors(batch)):
        raise ExperimentError(
            "The items of a batch cannot be taken one by one: it holds a sparse or nested tensor, such as the edges of a graph."
        )


def _as_mapping(original: Mapping[Any, Any], changed: dict[Any, Any]) -> Any:
    """A mapping of the original's kind: the model may ask it for attributes."""
    if type(original) is dict or not isinstance(original, MutableMapping):
        return changed
    twin = copy.copy(original)
    for key, part in changed.items():
        twin[key] = part
    return twin


def _inputs(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return {key: part for key, part in batch.items() if not is_label_key(key)} or batch
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        return batch
    first, *between, _ = batch
    return [first, *(part for part in between if not _one_number_each(part))]


def _one_number_each(part: Any) -> bool:
    return isinstance(part, torch.Tensor) and part.dim() > 0 and part.numel() == part.shape[0]
