"""Sequences that all end with the same long padding: what is read at their last place knows nothing of what came before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

_LEAST = 0.25


@dataclass(frozen=True, slots=True)
class PaddedEnd:
    """The padding that all sequences of a batch have at their end.

    Attributes:
        length: of the sequences.
        padding: how many of the last places hold the same in all of them.
    """

    length: int
    padding: int

    def cut(self, given: torch.Tensor) -> torch.Tensor:
        """A tensor without these places, if it is one of sequences."""
        is_of_sequences = given.dim() >= 2 and given.shape[1] == self.length
        return given[:, : self.length - self.padding] if is_of_sequences else given


def padded_end(given: Sequence[torch.Tensor]) -> PaddedEnd | None:
    """The padding at the end of all sequences, if it is a quarter of their length at least.

    Args:
        given: what a network is given of a batch, sequences [items, places, ...] among it.

    Example:
        >>> padded_end([torch.tensor([[3, 1, 0, 0], [2, 0, 0, 0]])])
        PaddedEnd(length=4, padding=2)
    """
    found = [PaddedEnd(one.shape[1], _alike_at_end(one)) for one in given if one.dim() >= 2 and one.numel()]
    longest = max(found, key=lambda one: one.padding, default=None)
    if longest is None or not _LEAST * longest.length <= longest.padding < longest.length:
        return None
    return longest


def _alike_at_end(given: torch.Tensor) -> int:
    """How many of the last places hold the same as the very last one of the first item, in all items."""
    alike = (given == given[:1, -1:]).transpose(0, 1).flatten(1).all(1)
    return int(alike.flip(0).long().cumprod(0).sum())
