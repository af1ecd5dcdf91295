"""Which items of a batch have the greatest loss, what was said of them, and, where that is allowed, the items themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nn_inspector.probes.measurement import Measurement
from nn_inspector.probes.merging import Merged
from nn_inspector.probes.outputs import first_tensor
from nn_inspector.probes.predictions import are_scores, is_batch
from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder

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

_ITEMS = 4096
_SHAPE = 3


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


class WorstItemsProbe(StepReader):
    """Looks at the last training batch of each measured step.

    `worst_items` is [WORST * fields], NaN where a batch has fewer items or an index is not known. With `keep_samples`,
    `sample` is one of these items for each source "0", "1", ...: its shape in three numbers (0 where it has fewer
    dimensions), then its numbers. Without, no number of an item is kept.

    Of several processes the worst items of the whole batch are named, in which item `i` of share `r` has the place that
    `DistributedSampler` took it from: `i * processes + r`. Samples are those of this process's share.

    Args:
        recorder: takes the measurements.
        indices: says which items of the data set the batch at hand holds, if that is known.
        keep_samples: whether items may be kept.
    """

    name = "worst_items"

    def __init__(
        self, recorder: Recorder, indices: Callable[[], Sequence[int] | None], *, keep_samples: bool = False
    ) -> None:
        super().__init__(recorder)
        self._indices = indices
        self._keep_samples = keep_samples
        self._inputs: torch.Tensor | None = None
        self._found: _Worst | None = None
        self._samples: torch.Tensor | None = None
        self._shape: tuple[int, ...] | None = None

    def begin_forward(self, args: tuple[object, ...]) -> None:
        """The model is called with these; they are held until the loss is computed of what it returns."""
        wanted = self._keep_samples and self.recorder.due and self.recorder.phase == "train"
        self._inputs = first_tensor(args) if wanted else None

    def observe(self, prediction: object, target: object) -> None:
        """The loss is computed of these two."""
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

    @torch.no_grad()
    def _look(self, losses: torch.Tensor, prediction: torch.Tensor, target: torch.Tensor) -> None:
        worst, places = torch.nan_to_num(losses, nan=math.inf).topk(min(WORST, len(losses)))
        scores = are_scores(prediction, target)
        said = prediction.detach().argmax(1) if scores else prediction.detach()
        firsts = [
            part.reshape(len(part), -1)[:, 0].to(losses)[places] for part in (said, target.detach().to(losses.device))
        ]
        self._found = _Worst(torch.stack([worst, *firsts, places.to(losses)]), self._indices(), self._share())
        if self._inputs is not None and self._inputs.dim() > 1 and len(self._inputs) == len(prediction):
            self._samples = _thinned(self._inputs.detach()[places])

    def before_step(self, optimizer_index: int) -> None:
        self._hand_on()

    def after_step(self, optimizer_index: int) -> None:
        self._hand_on()  # of a closure

    def _hand_on(self) -> None:
        found, samples, step = self._found, self._samples, self.recorder.step
        self._found = self._samples = self._inputs = None
        if found is None:
            return

        def read(numbers: np.ndarray) -> list[Measurement]:
            return [Measurement(step, "worst_items", "train", found.worst_of_all(numbers))]

        merged: Merged = "sum" if found.share[1] > 1 else "same"
        self.recorder.put(found.numbers, read, merged=merged, pack=found.pack, label="worst_items")
        if samples is not None:
            self._put_samples(samples, found)

    def _share(self) -> tuple[int, int]:
        share = self.recorder.share
        return share if share[1] <= MOST_PROCESSES else (0, 1)

    def _put_samples(self, samples: torch.Tensor, found: _Worst) -> None:
        shape, step = tuple(samples.shape[1:]), self.recorder.step
        if self._shape is None:
            self._shape = shape
        if shape != self._shape:  # a vector of one quantity has one length
            return
        head = np.zeros(_SHAPE)
        head[: len(shape)] = shape

        def read(numbers: np.ndarray) -> list[Measurement]:
            items = np.asarray(numbers, dtype=np.float64).reshape(-1, math.prod(shape))
            return [
                Measurement(step, "sample", str(found.rows[number]), np.concatenate([head, item]))
                for number, item in enumerate(items)
                if number in found.rows
            ]

        self.recorder.put(samples, read)


@torch.no_grad()
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


def _thinned(items: torch.Tensor) -> torch.Tensor:
    """Items [items, ...] of at most three dimensions each and few enough numbers: every so many along the long ones."""
    if items.dim() > 1 + _SHAPE:
        items = items.reshape(len(items), -1)
    while math.prod(items.shape[1:]) > SAMPLE_NUMBERS:
        longest = max(range(1, items.dim()), key=lambda dimension: items.shape[dimension])
        items = items[:, ::2] if longest == 1 else items[:, :, ::2] if longest == 2 else items[:, :, :, ::2]
    return items.to(torch.float32).contiguous()
