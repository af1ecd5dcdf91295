"""Whether predictions differ from item to item, and how much their targets do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch

from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.probe import PassReader
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import count_in_rows, is_dense

FIXED_FIELDS = ("prediction", "target", "probability")
"""What `fixed_batch` holds of each item: what is said of it, what is true, and how probable the network holds that to be (NaN of numbers)."""

_ITEMS = 1024
_NUMBERS = 1 << 16
_COLUMNS = 512
_CLASSES = 4096
_ROUNDING = 1e-13


class PredictionProbe(PassReader):
    """Looks at what the loss is given in measured steps.

    Of one step the last training batch is described. At most 1,024 items of it are looked at (in each of several processes,
    whose items are taken together), and of large outputs at most 1,024 numbers, evenly chosen.
    Class scores are predictions [items, classes, ...] whose targets are class numbers [items, ...].

    Args:
        recorder: takes the measurements, all with the source "train".
    """

    name = "predictions"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._found: list[_Described] = []

    def observe(self, prediction: object, target: object) -> None:
        """The loss is computed of these two; what is wanted of them is reduced at once."""
        is_training = self.recorder.phase == "train"
        if self.failure is not None or not self.recorder.due or not is_training or not is_batch(prediction):
            return
        try:
            self._found = _describe(prediction, target)
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.fail(error)

    def hand_on(self) -> None:
        found, self._found = self._found, []
        for one in found:
            self._put(one)

    def _put(self, described: _Described) -> None:
        step = self.recorder.step

        def read(numbers: np.ndarray) -> list[Measurement]:
            return [Measurement(step, quantity, "train", value) for quantity, value in described.read(numbers).items()]

        label = ",".join(described.quantities)
        self.recorder.put(described.values, read, merged="sum", pack=described.pack, label=label)


@dataclass(frozen=True, slots=True)
class _Described(ABC):
    """Numbers of a batch on their device.

    Attributes:
        quantities: what follows from them.
        values: what was reduced of the batch.
        items: how many items were looked at.
    """

    quantities: tuple[str, ...]
    values: torch.Tensor
    items: int

    @abstractmethod
    def pack(self, numbers: np.ndarray) -> np.ndarray:
        """Turn `values` that reached the host into numbers that may be added up over processes."""

    @abstractmethod
    def read(self, numbers: np.ndarray) -> dict[str, float]:
        """What such sums say, by quantity."""


class _Columns(_Described):
    """Mean and standard deviation of each output: values [2 * outputs]."""

    def pack(self, numbers: np.ndarray) -> np.ndarray:
        outputs = len(numbers) // 2
        packed = np.empty(1 + 3 * outputs)
        packed[0] = self.items
        mean, squares, within = packed[1:].reshape(3, -1)
        mean[:] = numbers[:outputs]
        np.square(mean, out=squares)
        np.square(numbers[outputs:], out=within)
        packed[1:] *= self.items
        return packed

    def read(self, numbers: np.ndarray) -> dict[str, float]:
        mean, squares, within = numbers[1:].reshape(3, -1) / numbers[0]
        with np.errstate(invalid="ignore"):  # of predictions that are not finite the spread is NaN
            between = squares - mean**2  # of the means of several processes; of one, nothing but rounding
            between[between < _ROUNDING * squares] = 0.0
            found = (_mean(np.sqrt(between + within)), _mean(mean))
        return dict(zip(self.quantities, found, strict=False))


class _Classes(_Described):
    """How many items are of each class: values [quantities * classes]."""

    def pack(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(numbers, dtype=np.float64)

    def read(self, numbers: np.ndarray) -> dict[str, float]:
        counts = numbers.reshape(len(self.quantities), -1)
        shares = np.maximum.reduce(counts, axis=1) / np.maximum(np.add.reduce(counts, axis=1), 1)
        return dict(zip(self.quantities, shares.tolist(), strict=True))


def _describe(prediction: torch.Tensor, target: object) -> list[_Described]:
    prediction = prediction.detach()[:_ITEMS]
    found: list[_Described] = [
        _Columns(("prediction_spread", "prediction_mean"), _by_column(prediction), len(prediction))
    ]
    if not is_batch(target):
        return found
    target = target.detach()[:_ITEMS]
    if are_scores(prediction, target):
        said = prediction.argmax(1)
        counts = _count_classes(torch.stack([said, target.to(said)]), prediction.shape[1])
        found.append(_Classes(("prediction_top_share", "target_top_share"), counts, len(target)))
    else:
        found.append(_Columns(("target_spread",), _by_column(target.to(prediction.device)), len(target)))
    return found


def is_batch(tensor: object) -> TypeGuard[torch.Tensor]:
    """Whether this holds several items that can be looked at."""
    return (
        isinstance(tensor, torch.Tensor)
        and is_dense(tensor)
        and tensor.dim() > 0
        and len(tensor) > 1
        and tensor.numel() > 0
        and not (tensor.is_meta or tensor.is_complex() or tensor.is_quantized)
    )


def are_scores(prediction: torch.Tensor, target: torch.Tensor) -> bool:
    """Whether these are class scores [items, classes, ...] and class numbers [items, ...]."""
    whole = not target.is_floating_point() and target.dtype is not torch.bool
    fits = prediction.dim() > 1 and target.shape == (*prediction.shape[:1], *prediction.shape[2:])
    return whole and fits and 1 < prediction.shape[1] <= _CLASSES


def _columns(items: torch.Tensor) -> torch.Tensor:
    """[items, outputs] as float32, with some of the outputs where there are many."""
    flat = items.reshape(len(items), -1)
    every = max(flat.numel() // _NUMBERS, flat.shape[1] // _COLUMNS) | 1  # odd: it meets every column of an image
    return flat[:, ::every].to(torch.float32)


def _mean(numbers: np.ndarray) -> float:
    return float(np.add.reduce(numbers)) / len(numbers)


def _by_column(items: torch.Tensor) -> torch.Tensor:
    deviation, mean = torch.std_mean(_columns(items), 0, correction=0)
    return torch.cat([mean, deviation])


def _count_classes(classes: torch.Tensor, count: int) -> torch.Tensor:
    """Of each row, how often each class that is in range stands there: [rows * count]."""
    rows = classes.flatten(1) if classes.dim() > 2 else classes
    rows = rows[:, :: max(1, rows.shape[1] // _ITEMS)] if rows.shape[1] > _ITEMS else rows
    return count_in_rows(rows.clamp(-1, count) + 1, count + 2)[:, 1:-1].reshape(-1)
