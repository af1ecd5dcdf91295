"""Images that were flipped or turned while their masks or boxes were not: seen in the pairs themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from nn_inspector.checks.data.boxes import images_and_boxes, masks_of
from nn_inspector.experiments import tensors_of

Turn = Callable[[torch.Tensor], torch.Tensor]

TURNS: Mapping[str, Turn] = {
    "flipped left to right": lambda images: images.flip(-1),
    "flipped upside down": lambda images: images.flip(-2),
    "turned by half": lambda images: images.flip((-2, -1)),
    "transposed": lambda images: images.transpose(-2, -1),
    "turned by a quarter": lambda images: images.rot90(1, (-2, -1)),
    "turned back by a quarter": lambda images: images.rot90(-1, (-2, -1)),
}
"""What augmentation does to images; the last three only to square ones."""

SEEN = 0.4
"""A mask whose pixels go with those of its image, so much correlated or more, shows how they lie to each other."""

CLEARLY = 0.25
"""A turn fits better than none, or worse, if the correlations differ by so much."""

FEWEST = 16
"""Of fewer items that show how they lie, nothing is said."""

MIXED = 0.2
"""Of boxes, so many at least must lie right and so many must not: only then is it known how their numbers are meant."""

_SMALLEST = 6


@dataclass(frozen=True, slots=True)
class Turned:
    """How masks or boxes lie to their images.

    Attributes:
        items: that show it.
        share: of those whose mask fits better in another position.
        how: what most often makes them fit.
        what: they are masks, or boxes.
    """

    items: int
    share: float
    how: str
    what: Literal["mask", "box"] = "mask"


def turned(batch: Any) -> Turned | None:
    """How the masks or boxes of a batch lie to its images; None where there are none, or too few show it.

    Images are `[items, channels, height, width]`, masks of the same height and width, with classes or numbers. Boxes are
    `[items, 4]`; of the ways in which their numbers may be meant, the one counts in which most boxes lie right.

    Example:
        >>> images = torch.zeros(20, 1, 8, 8)
        >>> images[:, :, 1, 2:5] = 1.0
        >>> turned((images, images.flip(-1))).how
        'flipped left to right'
    """
    pair = _images_and_masks(batch)
    return _position(*pair) if pair is not None else _of_boxes(batch)


def _of_boxes(batch: Any) -> Turned | None:
    pair = images_and_boxes(batch)
    if pair is None:
        return None
    images, boxes = pair
    masks = max(
        masks_of(boxes, *images.shape[-2:]),
        key=lambda masks: int((_correlation(images, masks) >= SEEN).sum()),
        default=None,
    )
    found = _position(images, masks) if masks is not None else None
    return replace(found, what="box") if found is not None and MIXED <= found.share <= 1 - MIXED else None


def _position(images: torch.Tensor, masks: torch.Tensor) -> Turned | None:
    straight = _correlation(images, masks)
    turns = {how: _correlation(images, turn(masks)) for how, turn in TURNS.items() if turn(masks).shape == masks.shape}
    best, which = torch.stack(list(turns.values())).max(0)
    other = (best >= SEEN) & (best - straight >= CLEARLY)
    shown = other | ((straight >= SEEN) & (straight - best >= CLEARLY))
    if int(shown.sum()) < FEWEST or not other.any():
        return None
    how = list(turns)[int(which[other].mode().values)]
    return Turned(int(shown.sum()), float(other.sum() / shown.sum()), how)


def _images_and_masks(batch: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Float32 images [items, channels, height, width] and masks [items, height, width]; None if the batch is something else."""
    parts = list(tensors_of(batch))
    if len(parts) < 2 or parts[0].dim() != 4:
        return None
    images, masks = parts[0].detach().float().cpu(), parts[-1].detach().float().cpu()
    if masks.dim() == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    same = masks.dim() == 3 and len(masks) == len(images) and masks.shape[-2:] == images.shape[-2:]
    if not same or min(images.shape[-2:]) < _SMALLEST or torch.equal(images.mean(1), masks):
        return None
    return images, masks


def _correlation(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Of the pixels of each image with those of its mask, whatever the sign; the channel counts that shows it best."""
    pixels, marks = images.flatten(2), masks.flatten(1)[:, None]
    pixels, marks = pixels - pixels.mean(2, keepdim=True), marks - marks.mean(2, keepdim=True)
    size = (pixels.norm(dim=2) * marks.norm(dim=2)).clamp(min=1e-9)
    found: torch.Tensor = ((pixels * marks).sum(2).abs() / size).amax(1)
    return found
