"""Images that were flipped or turned while their masks were not: seen in the pairs themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

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

_SMALLEST = 6


@dataclass(frozen=True, slots=True)
class Turned:
    """How masks lie to their images.

    Attributes:
        items: that show it.
        share: of those whose mask fits better in another position.
        how: what most often makes them fit.
    """

    items: int
    share: float
    how: str


def turned(batch: Any) -> Turned | None:
    """How the masks of a batch lie to its images; None where there are none, or too few show it.

    Images are `[items, channels, height, width]`, masks of the same height and width, with classes or numbers.

    Example:
        >>> images = torch.zeros(20, 1, 8, 8)
        >>> images[:, :, 1, 2:5] = 1.0
        >>> turned((images, images.flip(-1))).how
        'flipped left to right'
    """
    pair = _images_and_masks(batch)
    if pair is None:
        return None
    images, masks = pair
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
