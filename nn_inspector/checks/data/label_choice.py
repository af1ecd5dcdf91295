"""Which part of the batches holds the labels, as far as that can be told, and what the rest of the data set holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate

from nn_inspector.probes import LabelOrder, TraceEntry

_FEW = 8
_CLASS_LOSSES = ("cross_entropy", "nll_loss", "multi_margin_loss")


@dataclass(frozen=True, slots=True)
class Target:
    """What the loss was called on.

    Attributes:
        classes: how many classes the prediction has, if the target is class numbers; else None.
        width: how many numbers the target has for each item.
    """

    classes: int | None
    width: int


def seen_target(trace: Iterable[TraceEntry]) -> Target | None:
    """The target of the first loss call of the training; None if no call was seen."""
    for entry in trace:
        target, prediction = entry.facts.get("target_shape"), entry.facts.get("prediction_shape")
        if not isinstance(target, list) or not isinstance(prediction, list) or entry.facts.get("phase") == "validation":
            continue
        sizes = [int(size) for size in target]
        width = math.prod(sizes[1:])
        by_number = entry.call in _CLASS_LOSSES and len(prediction) == len(target) + 1
        return Target(int(prediction[1 if len(prediction) > 1 else 0]) if by_number else None, width)
    return None


def likely_labels(parts: Iterable[LabelOrder], target: Target | None) -> list[LabelOrder]:
    """The parts that are most likely the labels; several if nothing tells them apart."""
    ranked = [(_likelihood(part, target), part) for part in parts if part.items]
    best = max((rank for rank, _ in ranked), default=None)
    return [part for rank, part in ranked if rank == best]


def _likelihood(part: LabelOrder, target: Target | None) -> tuple[bool, int, int]:
    return part.named, _fit(part, target), _kind(part)


def _fit(part: LabelOrder, target: Target | None) -> int:
    """How well a part fits what the loss got: 2 for just its classes, 1 for its shape, 0 if it is not known, else -1."""
    if target is None:
        return 0
    if target.classes is None or part.classes is None:
        alike = part.width == target.width and (target.classes is None or part.width > 1)
        return 1 if alike else -1
    classes = len(part.classes.total)
    return 2 if classes == target.classes else 1 if classes < target.classes else -1


def _kind(part: LabelOrder) -> int:
    """2 for class numbers that begin at 0 and leave few out, 1 for others and for numbers, 0 for what tells nothing."""
    if part.classes is None:
        return 1 if part.constant is None else 0
    counts = part.classes.total
    kinds = int(np.count_nonzero(counts))
    if kinds == 1 or counts[0] == 0 or kinds < len(counts) / 2:
        return 1
    return 0 if kinds > part.items / 2 and part.items >= _FEW else 2


def share_of_others(loader: object, place: str, label: float) -> float | None:
    """The share of a data set's labels that are not `label`, where its labels lie open; nothing of the user's is called.

    They do in a `TensorDataset`, a `Subset` of it, and a data set that has them as `targets` or `labels`.
    """
    if not isinstance(loader, DataLoader):
        return None
    labels = _open_labels(loader.dataset, place if loader.collate_fn is default_collate else "")
    return None if labels is None or len(labels) == 0 else float(np.mean(labels != label))


def _open_labels(data: Any, place: str) -> np.ndarray | None:
    if type(data) is Subset:
        whole, indices = _open_labels(data.dataset, place), np.asarray(data.indices)
        return whole[indices] if whole is not None and indices.dtype.kind in "iu" and len(indices) else None
    if type(data) is TensorDataset:
        known = place.isdecimal() and int(place) < len(data.tensors)
        return _column(data.tensors[int(place)]) if known else None
    held = getattr(data, "__dict__", {})
    if held.get("target_transform") is not None:
        return None
    columns = (_column(held.get(name)) for name in ("targets", "labels", "y"))
    return next((column for column in columns if column is not None), None)


def _column(values: object) -> np.ndarray | None:
    """Labels [items], of one-hot rows their class; None if these are none."""
    if isinstance(values, torch.Tensor) and not values.is_sparse:
        array = values.detach().float().cpu().numpy()
    elif isinstance(values, Sequence) and not isinstance(values, str) and values and isinstance(values[0], int | float):
        array = np.asarray(values)
    elif isinstance(values, np.ndarray):
        array = values
    else:
        return None
    if array.dtype.kind not in "biuf" or array.ndim == 0 or len(array) == 0:
        return None
    column: np.ndarray = array.reshape(len(array), -1)
    return column[:, 0] if column.shape[1] == 1 else column.argmax(axis=1)
