"""Scaled numbers that were cut to whole ones, as where they are written into an array of integers."""

from __future__ import annotations

import torch

FEWEST_COLUMNS = 3
"""One column of small whole numbers may be a grade or a count of its own kind."""

_FEWEST_ITEMS = 100
_FURTHEST = 6
_LEAST = 2
_ZEROS = (0.25, 0.75)
_OF_EACH_SIGN = 0.04
_SPREAD = (0.5, 1.3)


def cut_to_whole(values: torch.Tensor) -> bool:
    """Whether all columns are whole numbers that are spread as a normal distribution is once it was standardized and cut or rounded.

    Of such a column 68 % (cut) or 38 % (rounded) are 0, and there are some of 2 and more on either side.

    Args:
        values: [items, columns].

    Example:
        >>> x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
        >>> cut_to_whole(x.trunc()), cut_to_whole(x.round()), cut_to_whole(x), cut_to_whole(x.sign())
        (True, True, False, False)
    """
    varying = values[:, values.std(0, correction=0) > 0]
    if (
        len(varying) < _FEWEST_ITEMS
        or varying.shape[1] < FEWEST_COLUMNS
        or not bool((varying == varying.round()).all())
    ):
        return False
    size, spread = varying.abs().amax(0), varying.std(0)
    zeros, above, below = ((one.float().mean(0)) for one in (varying == 0, varying > 0, varying < 0))
    fits = (
        (size >= _LEAST)
        & (size <= _FURTHEST)
        & (zeros >= _ZEROS[0])
        & (zeros <= _ZEROS[1])
        & (torch.minimum(above, below) >= _OF_EACH_SIGN)
        & (spread >= _SPREAD[0])
        & (spread <= _SPREAD[1])
    )
    return bool(fits.all())
