"""Whether predictions differ from item to item, and how much their targets do."""

from __future__ import annotations

from typing import TypeGuard

import torch

from nn_inspector.probes.probe import StepReader
from nn_inspector.probes.recorder import Recorder

_ITEMS = 1024
_NUMBERS = 1 << 16
_CLASSES = 4096


class PredictionProbe(StepReader):
    """Looks at what the loss is given in measured steps.

    Of one step the last training batch is described. At most 1,024 items of it are looked at, and of large outputs a part.
    Class scores are predictions [items, classes, ...] whose targets are class numbers [items, ...].

    Args:
        recorder: takes the measurements, all with the source "train".
    """

    name = "predictions"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._found: dict[str, torch.Tensor] = {}

    def observe(self, prediction: object, target: object) -> None:
        """The loss is computed of these two; what is wanted of them is reduced at once."""
        is_training = self.recorder.phase == "train"
        if self.failure is not None or not self.recorder.due or not is_training or not is_batch(prediction):
            return
        try:
            self._found = _describe(prediction, target)
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training
            self.fail(error)

    def before_step(self, optimizer_index: int) -> None:
        self._hand_on()

    def after_step(self, optimizer_index: int) -> None:
        self._hand_on()  # of a closure

    def _hand_on(self) -> None:
        found, self._found = self._found, {}
        if found:
            values = torch.stack(list(found.values()))
            self.recorder.put_table(list(found), ["train"], values, merged="mean")


@torch.no_grad()
def _describe(prediction: torch.Tensor, target: object) -> dict[str, torch.Tensor]:
    prediction = prediction.detach()[:_ITEMS]
    found = {"prediction_spread": _spread(prediction), "prediction_mean": _columns(prediction).mean()}
    if not is_batch(target):
        return found
    target = target.detach()[:_ITEMS]
    if are_scores(prediction, target):
        said = prediction.argmax(1)
        shares = _top_shares(torch.stack([said, target.to(said)]), prediction.shape[1])
        found["prediction_top_share"], found["target_top_share"] = shares.unbind()
    else:
        found["target_spread"] = _spread(target.to(prediction.device))
    return found


def is_batch(tensor: object) -> TypeGuard[torch.Tensor]:
    """Whether this holds several items that can be looked at."""
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout is torch.strided
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
    return flat[:, :: max(1, flat.numel() // _NUMBERS)].to(torch.float32)


def _spread(items: torch.Tensor) -> torch.Tensor:
    return _columns(items).std(0, correction=0).mean()


def _top_shares(classes: torch.Tensor, count: int) -> torch.Tensor:
    """Of each row, the share of the most frequent class among those that are in range."""
    rows = classes.flatten(1)
    rows = rows[:, :: max(1, rows.shape[1] // _ITEMS)]
    counts = (rows[:, :, None] == torch.arange(count, device=rows.device)).sum(1)
    return (counts.amax(1) / counts.sum(1).clamp(min=1)).to(torch.float32)
