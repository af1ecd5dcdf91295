"""How often each number of a few occurs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

MOST_COUNTED = 2**24
"""Up to so many, counts in float32 are exact."""


def count_in_rows(numbers: torch.Tensor, bins: int, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Count the numbers of each row, in one call whatever they are; nothing waits for the device.

    Args:
        numbers: int64 [rows, n], each from 0 to `bins` - 1.
        bins: how many different ones there are.
        weights: float32 [rows, n], whole numbers: as how many each counts; None if as one.

    Returns:
        float32 [rows, bins]: exact up to `MOST_COUNTED`.

    Example:
        >>> count_in_rows(torch.tensor([[0, 2, 2], [1, 1, 1]]), 3).tolist()
        [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]
    """
    if weights is None:
        weights = torch.ones(numbers.shape, dtype=torch.float32, device=numbers.device)
    counts = torch.zeros(numbers.shape[0], bins, dtype=torch.float32, device=numbers.device)
    with _any_order(numbers.device):
        return counts.scatter_add_(1, numbers, weights)


def _any_order(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Sums of whole numbers are the same in any order: they go ahead where the user has torch refuse what depends on it."""
    refused = device.type != "cpu" and torch.are_deterministic_algorithms_enabled()
    return _allowed() if refused else _AS_IT_IS


_AS_IT_IS = contextlib.nullcontext()


@contextlib.contextmanager
def _allowed() -> Iterator[None]:
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)  # noqa: FBT003 - torch's own signature
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)  # noqa: FBT003
