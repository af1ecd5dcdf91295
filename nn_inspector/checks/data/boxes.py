"""Boxes around things in images, as masks: whichever way their four numbers are meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from nn_inspector.experiments import tensors_of

_SIDE = 64
_SMALLEST = 6
_SLACK = 0.05


def images_and_boxes(batch: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Float32 images [items, channels, height, width], made small, and the boxes [items, 4] as shares of height and width.

    The boxes are the only tensor of four numbers for each item; None if there is none, or if the numbers cannot be places.

    Example:
        >>> images, boxes = images_and_boxes((torch.zeros(2, 1, 8, 8), torch.tensor([[0, 4, 4, 8], [2, 2, 6, 6]])))
        >>> boxes.tolist()[0]
        [0.0, 0.5, 0.5, 1.0]
    """
    parts = list(tensors_of(batch))
    if not parts or parts[0].dim() != 4 or min(parts[0].shape[-2:]) < _SMALLEST:
        return None
    found = [part for part in parts[1:] if part.dim() == 2 and part.shape == (len(parts[0]), 4)]
    if len(found) != 1:
        return None
    boxes = found[0].detach().float().cpu()
    height, width = parts[0].shape[-2:]
    largest = max(height, width)
    if not bool(boxes.isfinite().all()) or float(boxes.min()) < -_SLACK * largest:
        return None
    if float(boxes.max()) > 1 + _SLACK:
        if height != width or float(boxes.max()) > largest * (1 + _SLACK):
            return None
        boxes = boxes / largest
    images = parts[0].detach().float().cpu()
    return F.adaptive_avg_pool2d(images, (min(height, _SIDE), min(width, _SIDE))), boxes


def masks_of(boxes: torch.Tensor, height: int, width: int) -> Iterator[torch.Tensor]:
    """Masks [items, height, width], for each way in which four numbers may tell a box that lies within its image.

    They are two corners, a corner and the size, or the middle and the size; across first, or down first.
    """
    first, second = boxes[:, :2], boxes[:, 2:]
    for low, high in ((first, second), (first, first + second), (first - second / 2, first + second / 2)):
        inside = (high > low).all(1) & (low > -2 * _SLACK).all(1) & (high < 1 + 2 * _SLACK).all(1)
        if not bool(inside.all()):
            continue
        for across in (0, 1):
            columns = _between(low[:, across], high[:, across], width)
            rows = _between(low[:, 1 - across], high[:, 1 - across], height)
            yield (rows[:, :, None] & columns[:, None, :]).float()


def _between(low: torch.Tensor, high: torch.Tensor, count: int) -> torch.Tensor:
    """Which of `count` places lie between the two, [items, count]."""
    middles = (torch.arange(count) + 0.5) / count
    return (middles >= low[:, None]) & (middles <= high[:, None])
