"""Which items of a batch have the greatest loss, what was said of them, and, where that is allowed, the items themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nn_inspector.probes.given_indices import numbered
from nn_inspector.probes.loss_level import LossLevel
from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.merging import Merged
from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.predictions import are_scores, is_batch
from nn_inspector.probes.probe import PassReader
from nn_inspector.probes.recent_batches import HeldBatch, RecentBatches
from nn_inspector.probes.recorder import Recorder
from nn_inspector.stats import is_dense

WORST = 6
"""So many items of a batch are named."""

ITEM_FIELDS = ("loss", "prediction", "target", "place", "index")
"""What is said of an item: its loss, what the network said and what is true (a class or a number), its place in the
batch, and its index in the data set where that is known."""

_PLACE = ITEM_FIELDS.index("place")

SAMPLE_NUMBERS = 3072
"""Of an item that is kept at most so many numbers are: a colour picture of 32 x 32. Of greater pictures fewer pixels."""

MOST_PROCESSES = 64
"""Of so many processes the items are compared; of more, those of each share stand alone."""

OUTLIER = "outlier"
"""Source of the worst items of a step whose loss stood out, and, with a rank behind it, of the samples of these."""

_ITEMS = 4096
_SHAPE = 3
_LEAST_ROOM = 256
_LOST = 1e38
"""Where a loss that is not finite stands among the others: above them, and below an item that is itself not finite."""


@dataclass(slots=True)
class _Worst:
    """What was found in a batch.

    Attributes:
        numbers: [ITEM_FIELDS without index, items] on its device, and `indices` of all its items.
        share: which share of the whole batch it is, and of how many.
        rows: of each of these items that is among the worst of all shares, its row there; known once that is read.
    """

    numbers: torch.Tensor
    indices: Sequence[int] | None
    share: tuple[int, int]
    rows: dict[int, int] = field(default_factory=dict)

    def pack(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers in the place of this share, and nothing in those of the others: [shares, WORST, 1 + fields].

        The first number of an item is 1 where there is one.
        """
        share, shares = self.share
        indices = self.indices if self.indices is not None else ()
        table = np.zeros((shares, WORST, 1 + len(ITEM_FIELDS)))
        given = np.asarray(numbers, dtype=np.float64).reshape(len(ITEM_FIELDS) - 1, -1).T
        table[share, : len(given), 0] = 1
        table[share, : len(given), 1:-1] = given
        for row in table[share, : len(given)]:
            place = int(row[1 + _PLACE])
            row[-1] = indices[place] if place < len(indices) else math.nan
            row[1 + _PLACE] = place * shares + share
        return table

    def worst_of_all(self, numbers: np.ndarray) -> np.ndarray:
        """The worst items of all shares, [WORST * fields]."""
        share, shares = self.share
        held = numbers.reshape(shares * WORST, -1)
        present = np.flatnonzero(held[:, 0])
        worst = present[np.argsort(-held[present, 1], kind="stable")][:WORST]
        self.rows = {int(slot) % WORST: row for row, slot in enumerate(worst) if slot // WORST == share}
        table = np.full((WORST, len(ITEM_FIELDS)), math.nan)
        table[: len(worst)] = held[worst, 1:]
        return table.reshape(-1)


class WorstItemsProbe(PassReader):
    """Looks at the last training batch of each measured step, and at those of a step whose loss stands out.

    `worst_items` is [WORST * fields], NaN where a batch has fewer items or something is not known. With `keep_samples`,
    `sample` is one of these items for each source "0", "1", ...: its shape in three numbers (0 where it has fewer
    dimensions), then its numbers. Without, no number of an item is kept.

    Of several processes the worst items of the whole batch are named, in which item `i` of share `r` has the place that
    `DistributedSampler` took it from: `i * processes + r`. Samples are those of this process's share.

    Where the loss of a step leaps up or stops being finite (see `LossLevel`), whether the step was measured or not, all of
    its batches are looked at together: places count from the first of them. Their source is `OUTLIER`, the samples are
    filled up with NaN to one length. Of several processes each looks at its own share. Until the loss is known, batches
    are held by reference (see `RecentBatches`): what the loop changes in place in between is seen as it is then.

    Args:
        recorder: takes the measurements.
        given: what the sampler gave for the batch at hand, if that is known.
        keep_samples: whether items may be kept.
    """

    name = "worst_items"

    def __init__(self, recorder: Recorder, given: Callable[[], Any], *, keep_samples: bool = False) -> None:
        super().__init__(recorder)
        self._given = given
        self._keep_samples = keep_samples
        self._inputs: torch.Tensor | None = None
        self._found: _Worst | None = None
        self._samples: torch.Tensor | None = None
        self._shape: tuple[int, ...] | None = None
        self._room: int | None = None
        self._level = LossLevel()
        self._recent = RecentBatches()

    def attach(self) -> None:
        self.recorder.on_loss = self._heed_loss

    def detach(self) -> None:
        self.recorder.on_loss = None
        self.forget()
        super().detach()

    def begin_forward(self, args: tuple[object, ...]) -> None:
        """The model is called with these; they are held until the loss of the step is known."""
        if self.failure is not None or self.recorder.phase != "train":
            self._inputs = None
            return
        inputs = first_tensor(args[0] if len(args) == 1 else args) if self._keep_samples else None
        if inputs is not None and (inputs.requires_grad or not is_dense(inputs)):
            inputs = inputs.detach() if is_dense(inputs) else None
        self._inputs = inputs if self.recorder.due else None
        self._recent.begin(self.recorder.step, self._given(), inputs)

    def hold(self, prediction: object, target: object) -> None:
        """The loss of a training batch is computed of these two.

        Where the model's call was not seen, it is compiled: what it returns on a device may be memory that it uses again.
        """
        if self.failure is not None:
            return
        if self._recent.step != self.recorder.step:
            if not isinstance(prediction, torch.Tensor) or prediction.device.type != "cpu":
                return
            self._recent.begin(self.recorder.step, self._given(), None)
        self._recent.pair(prediction, target)

    def observe(self, prediction: object, target: object) -> None:
        """The loss is computed of these two, in a step that is measured in full."""
        if self.failure is not None or not self.recorder.due or self.recorder.phase != "train":
            return
        try:
            losses = item_losses(prediction, target)
            self._found = None
            if losses is not None and isinstance(prediction, torch.Tensor) and isinstance(target, torch.Tensor):
                self._look(losses, prediction, target)
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.fail(error)
        finally:
            self._inputs = None

    def forget(self) -> None:
        """No training is running: hold no batch of it."""
        self._recent.clear()
        self._inputs = None

    def _look(self, losses: torch.Tensor, prediction: torch.Tensor, target: torch.Tensor) -> None:
        worst, places = torch.nan_to_num(losses, nan=math.inf).topk(min(WORST, len(losses)))
        firsts = _firsts(prediction.detach()[places], target.detach().to(places.device)[places], losses)
        indices = _indices([self._given()], len(losses))
        self._found = _Worst(torch.stack([worst, *firsts, places.to(losses)]), indices, self._share())
        if self._inputs is not None and self._inputs.dim() > 1 and len(self._inputs) == len(prediction):
            self._samples = _thinned(self._inputs.detach()[places])

    def hand_on(self) -> None:
        found, samples = self._found, self._samples
        self._found = self._samples = self._inputs = None
        if found is None:
            return
        self._put(self.recorder.step, "train", found)
        if samples is not None:
            shape = tuple(samples.shape[1:])
            self._shape = self._shape or shape
            if shape == self._shape:  # a vector of one quantity has one length
                self._put_samples(self.recorder.step, samples, found, "", math.prod(shape))

    def _put(self, step: int, source: str, found: _Worst) -> None:
        def read(numbers: np.ndarray) -> list[Measurement]:
            return [Measurement(step, "worst_items", source, found.worst_of_all(numbers))]

        merged: Merged = "sum" if found.share[1] > 1 else "same"
        self.recorder.put(found.numbers, read, merged=merged, pack=found.pack, label="worst_items")

    def _share(self) -> tuple[int, int]:
        share = self.recorder.share
        return share if share[1] <= MOST_PROCESSES else (0, 1)

    def _put_samples(self, step: int, samples: torch.Tensor, found: _Worst, prefix: str, room: int) -> None:
        """Items [items, ...] as vectors of their shape and their numbers, of which there is room for so many."""
        shape = tuple(samples.shape[1:])
        head, tail = np.zeros(_SHAPE), np.full(room - math.prod(shape), math.nan)
        head[: len(shape)] = shape

        def read(numbers: np.ndarray) -> list[Measurement]:
            items = np.asarray(numbers, dtype=np.float64).reshape(-1, math.prod(shape))
            return [
                Measurement(step, "sample", f"{prefix}{found.rows[number]}", np.concatenate([head, item, tail]))
                for number, item in enumerate(items)
                if number in found.rows
            ]

        self.recorder.put(samples, read)

    def _heed_loss(self, step: int, loss: float) -> None:
        """The loss of a step is known: look at its batches if it stands out, and hold them no longer."""
        if self.failure is not None:
            return
        try:
            if self._level.stands_out(loss):
                self._look_at_step(step)
            self._recent.forget(step)
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.fail(error)

    @torch.no_grad()
    def _look_at_step(self, step: int) -> None:
        batches = self._recent.of(step)
        chosen = _with_losses(batches) or _without_losses(batches)
        if chosen is None:
            return
        numbers, places, count = chosen
        found = _Worst(numbers, _indices([batch.given for batch in batches], count), (0, 1))
        self._put(step, OUTLIER, found)
        inputs = _together(batches, count)
        if inputs is not None and inputs.dim() > 1:
            samples = _thinned(inputs[places.to(inputs.device)], self._room or SAMPLE_NUMBERS)
            self._room = self._room or max(math.prod(samples.shape[1:]), _LEAST_ROOM)
            self._put_samples(step, samples, found, f"{OUTLIER} ", self._room)


_Chosen = tuple[torch.Tensor, torch.Tensor, int]
"""The numbers of the worst items, their places, and how many items there are."""


def _with_losses(batches: list[HeldBatch]) -> _Chosen | None:
    """The items of greatest loss; None where it is not known of each item of each batch."""
    losses, firsts = [], []
    for batch in batches:
        found = item_losses(batch.prediction, batch.target)
        if found is None or batch.prediction is None or batch.target is None:
            return None
        losses.append(found)
        firsts.append(_firsts(batch.prediction, batch.target, found))
    if not batches:
        return None
    every = torch.cat(losses)
    said, true = (torch.cat([pair[number] for pair in firsts]) for number in (0, 1))
    key, inputs = torch.nan_to_num(every, nan=_LOST, posinf=_LOST), _together(batches, len(every))
    if inputs is not None and inputs.is_floating_point():
        damaged = ~torch.isfinite(inputs.reshape(len(inputs), -1)).all(1)
        key = key.masked_fill(damaged.to(key.device), math.inf)
    places = key.topk(min(WORST, len(key))).indices
    worst = torch.nan_to_num(every, nan=math.inf)[places]
    return torch.stack([worst, said[places], true[places], places.to(every)]), places, len(every)


def _without_losses(batches: list[HeldBatch]) -> _Chosen | None:
    """The items with the most extreme numbers, if these may be looked at; else the first."""
    counts = [_size(batch) for batch in batches]
    if not batches or not all(counts):
        return None
    count = sum(counts)
    inputs = _together(batches, count)
    places = torch.arange(min(WORST, count))
    if inputs is not None and inputs.is_floating_point():
        extremes = torch.nan_to_num(inputs.reshape(count, -1).abs().amax(1).to(torch.float32), nan=math.inf)
        places = extremes.topk(len(places)).indices
    numbers = torch.full((len(ITEM_FIELDS) - 1, len(places)), math.nan, device=places.device)
    numbers[ITEM_FIELDS.index("place")] = places.to(numbers)
    return numbers, places, count


def _size(batch: HeldBatch) -> int:
    if batch.inputs is not None and batch.inputs.dim():
        return len(batch.inputs)
    return len(numbered(batch.given) or ())


def _together(batches: list[HeldBatch], count: int) -> torch.Tensor | None:
    """The inputs of all batches; None where they are not at hand, or are not one for each of so many items."""
    inputs = [batch.inputs for batch in batches if batch.inputs is not None and is_dense(batch.inputs)]
    if len(inputs) < len(batches) or len({part.shape[1:] for part in inputs}) > 1:
        return None
    if not all(part.dim() for part in inputs) or sum(len(part) for part in inputs) != count:
        return None
    return inputs[0] if len(inputs) == 1 else torch.cat(inputs)


def _indices(given: list[Any], count: int) -> list[int] | None:
    """The indices of the items of some batches; None where they are not known for each of so many items."""
    known = [numbered(part) for part in given]
    indices = [index for part in known if part is not None for index in part]
    return indices if len(indices) == count and None not in known else None


def _firsts(prediction: torch.Tensor, target: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is said of each item and what is true: a class, or the first of several numbers."""
    said = prediction.detach().argmax(1) if are_scores(prediction, target) else prediction.detach()
    first, second = (part.reshape(len(part), -1)[:, 0].to(like) for part in (said, target.detach()))
    return first, second


def item_losses(prediction: object, target: object) -> torch.Tensor | None:
    """The loss of each item, float32 [items]: cross-entropy of class scores, else the mean squared difference.

    It ranks the items of one batch; the user's own loss may weigh them otherwise. None where it cannot be said.

    Example:
        >>> item_losses(torch.tensor([[0.0, 0.0], [0.0, 100.0]]), torch.tensor([0, 0])).tolist()[1]
        100.0
        >>> item_losses(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [1.0]])).tolist()
        [0.0, 4.0]
    """
    if not is_batch(prediction) or not is_batch(target) or len(prediction) != len(target) or len(target) > _ITEMS:
        return None
    scores, true = prediction.detach().to(torch.float32), target.detach().to(prediction.device)
    if are_scores(prediction, target):
        nearest = true.long().clamp(0, scores.shape[1] - 1)
        chosen = scores.gather(1, nearest[:, None])[:, 0]
        losses = (scores.logsumexp(1) - chosen) * (nearest == true)
    elif true.shape == scores.shape:
        losses = (scores - true.to(torch.float32)) ** 2
    else:
        return None
    return losses.reshape(len(losses), -1).mean(1) if losses.dim() > 1 else losses


def _thinned(items: torch.Tensor, most: int = SAMPLE_NUMBERS) -> torch.Tensor:
    """Items [items, ...] of at most three dimensions each and few enough numbers: every so many along the long ones."""
    if items.dim() > 1 + _SHAPE:
        items = items.reshape(len(items), -1)
    while math.prod(items.shape[1:]) > most:
        longest = max(range(1, items.dim()), key=lambda dimension: items.shape[dimension])
        items = items[:, ::2] if longest == 1 else items[:, :, ::2] if longest == 2 else items[:, :, :, ::2]
    return items.to(torch.float32).contiguous()
