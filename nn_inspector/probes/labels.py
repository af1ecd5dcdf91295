"""Which parts of a batch may be its labels, read as numbers without touching them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nn_inspector.stats import is_dense

LABEL_KEYS = ("labels", "label", "targets", "target", "y", "cls", "class", "classes")
"""Keys under which a batch that is a mapping is taken to hold its labels."""

MOST_CLASSES = 4096
"""Whole numbers from here on are read as numbers, not as classes."""

_LABEL_WORDS = ("label", "target", "class", "categor", "truth", "annot")
_OTHER_WORDS = (
    "len",
    "mask",
    "weight",
    "idx",
    "index",
    "id",
    "ids",
    "input",
    "image",
    "pixel",
    "feature",
    "position",
    "x",
)
_MOST_PARTS = 4
_COLUMNS = 8
_SAMPLED = 64
_LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class Labels:
    """One part of a batch that may be its labels.

    Attributes:
        place: where in the batch it is: a key, or a position counted from 0, with dots between levels.
        named: whether it stands under a key that says that it holds labels.
        width: how many numbers there are for each item.
        classes: int64 [items], class numbers, or None if these are none: whole numbers, or rows that sum to 1.
        numbers: float64 [items, columns], the same as finite numbers; of many columns, means of groups of them.
    """

    place: str
    named: bool
    width: int
    classes: np.ndarray | None
    numbers: np.ndarray


def find_labels(batch: Any, *, wait: bool = False) -> list[Labels]:
    """The parts of a batch that may be its labels: of a sequence all but the first, of a mapping those with such a key.

    Where no key of a mapping says so, every part that is not named for something else may be.

    Args:
        batch: what a loader yields.
        wait: also for what is not on the host. Else it is left out, so that a training does not have to wait.

    Example:
        >>> [(found.place, found.classes.tolist()) for found in find_labels((torch.zeros(3, 2), torch.tensor([0, 1, 2])))]
        [('1', [0, 1, 2])]
        >>> [found.place for found in find_labels({"ids": torch.arange(3), "cls": torch.tensor([1, 1, 0])})]
        ['cls']
    """
    found = []
    for place, part in label_parts(batch):
        labels = _read(place, part.cpu() if wait and isinstance(part, torch.Tensor) else part)
        if labels is not None:
            found.append(labels)
    return found[-_MOST_PARTS:]


def label_parts(batch: Any) -> Iterator[tuple[str, Any]]:
    """The parts themselves, with their places, unread."""
    if isinstance(batch, Mapping):
        keys = _label_keys(batch)
        yield from (leaf for key in keys for leaf in _leaves(str(key), batch[key]))
    elif _is_sequence(batch) and len(batch) > 1:
        names = getattr(batch, "_fields", range(len(batch)))
        for name, part in list(zip(names, batch, strict=True))[1:]:
            yield from _leaves(str(name), part)


def is_label_key(key: object) -> bool:
    """Whether a key says that labels stand under it.

    Example:
        >>> [key for key in ("x", "cls", "y", "class_id", "input_ids", "target_lengths") if is_label_key(key)]
        ['cls', 'y', 'class_id']
    """
    name = str(key).lower()
    words = name.replace(".", "_").split("_")
    if name in LABEL_KEYS or words[-1] in LABEL_KEYS:
        return True
    return any(word in name for word in _LABEL_WORDS) and not any("len" in w or w in ("mask", "weight") for w in words)


def _label_keys(batch: Mapping[Any, Any]) -> list[Any]:
    known = [key for key in LABEL_KEYS if key in batch]
    if known:
        return known[:1]
    likely = [key for key in batch if is_label_key(key)]
    return likely or [key for key in batch if not _is_other(str(key).lower())]


def _is_other(name: str) -> bool:
    words = name.replace(".", "_").split("_")
    return any(word in _OTHER_WORDS or word.startswith(("len", "mask", "weight", "input", "image")) for word in words)


def _leaves(place: str, part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        for key in _label_keys(part):
            yield from _leaves(f"{place}.{key}", part[key])
    elif _is_sequence(part) and part and isinstance(part[0], torch.Tensor | np.ndarray):
        for index, one in enumerate(part[:_MOST_PARTS]):
            yield from _leaves(f"{place}.{index}", one)
    else:
        yield place, part


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _read(place: str, part: Any) -> Labels | None:
    values = _as_array(part)
    if values is None or values.size == 0 or values.dtype.kind not in "biuf":
        return None
    items = len(values)
    values = values.reshape(items, -1)
    width = values.shape[1]
    classes = _as_classes(values)
    if width > _SAMPLED:
        values = values[:, :: width // _SAMPLED]
    numbers = np.nan_to_num(values.astype(np.float64), posinf=_LARGEST, neginf=-_LARGEST).clip(-_LARGEST, _LARGEST)
    if values.shape[1] > _COLUMNS:
        numbers = np.stack([group.mean(axis=1) for group in np.array_split(numbers, _COLUMNS, axis=1)], axis=1)
    return Labels(place, is_label_key(place), width, classes, numbers)


def _as_array(part: Any) -> np.ndarray | None:
    """[items, ...] of a tensor on the host, an array or a list of numbers; a single number is one item."""
    if isinstance(part, torch.Tensor):
        if part.device.type != "cpu" or not is_dense(part) or part.is_complex() or part.is_quantized:
            return None
        part = part.detach().as_subclass(torch.Tensor).resolve_neg()
        narrow = part.is_floating_point() and part.dtype not in (torch.float32, torch.float64)
        part = (part.float() if narrow else part).numpy()
    elif _is_sequence(part):
        if not part or not all(isinstance(one, int | float) for one in part):
            return None
        part = np.asarray(part)
    elif isinstance(part, int | float):
        part = np.asarray([part])
    return np.atleast_1d(part) if isinstance(part, np.ndarray) else None


def _as_classes(values: np.ndarray) -> np.ndarray | None:
    """Class numbers [items] of values [items, width]: whole numbers one for each item, or the largest of shares."""
    if values.shape[1] == 1:
        column = values[:, 0]
        whole = column.dtype.kind in "biu" or bool(np.all(np.floor(column) == column))
        if not whole or not (column.min() >= 0 and column.max() < MOST_CLASSES):
            return None
        return column.astype(np.int64)
    if values.shape[1] >= MOST_CLASSES or not (values.min() >= 0 and values.max() <= 1):
        return None
    sums = values.sum(axis=1)
    return (
        values.argmax(axis=1) if all(math.isclose(one, 1.0, abs_tol=1e-3) for one in (sums.min(), sums.max())) else None
    )
