"""Items of a loader's data set, asked for by their numbers, without a trace in the data set or in what is random."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.errors import ExperimentError, describe_error
from nn_inspector.experiments.preserved_state import preserved_state
from nn_inspector.experiments.random_state import preserved_random_state

Made = TypeVar("Made")

_NO_NUMBERS = "Its data set cannot be asked for an item by its number."


def look_up(loader: object, indices: Sequence[int], make: Callable[[Any], Made], *, seconds: float) -> dict[int, Made]:
    """What is made of each of these items; those for which the time is not enough are left out.

    Generators, and what the data set keeps in attributes, lists, dicts and small arrays, are put back. What a data set
    makes at random may be something else than the training saw.

    Args:
        loader: the user's; a `DataLoader` over a data set that can be indexed.
        indices: numbers of items, as the sampler gives them.
        make: makes of an item what is wanted of it; the item itself is not kept.
        seconds: no further item is asked for after so long; the first one always is.

    Raises:
        ExperimentError: the data set has no such items, or asking for one fails.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> look_up(DataLoader(["a", "b", "c"], batch_size=2), [2], str.upper, seconds=1.0)
        {2: 'C'}
    """
    if not isinstance(loader, DataLoader):
        raise ExperimentError("There is no DataLoader whose data set could be asked.")
    data: Any = loader.dataset
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        raise ExperimentError(_NO_NUMBERS)
    found: dict[int, Made] = {}
    until = time.monotonic() + seconds
    with preserved_random_state(), preserved_state(data):
        for index in indices:
            if found and time.monotonic() > until:
                break
            try:
                found[index] = make(data[index])
            except Exception as error:
                raise ExperimentError(f"Item {index} could not be had: {describe_error(error)}.") from error
    return found
