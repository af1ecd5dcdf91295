"""Tells data that can be read again from data that are used up by reading."""

from __future__ import annotations

import io
import multiprocessing.queues
import queue
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from nn_inspector.errors import ExperimentError, describe
from nn_inspector.experiments.preserved_state import preserved_state
from nn_inspector.experiments.random_state import preserved_random_state
from nn_inspector.experiments.reach import reachable

_QUEUES = (queue.Queue, queue.SimpleQueue, multiprocessing.queues.Queue, multiprocessing.queues.SimpleQueue)


def refuse_one_shot(loader: Any) -> None:
    """Raise if an experiment would take data away from the training.

    Raises:
        ExperimentError: the loader, its data set or sampler is an iterator, hands out the same iterator twice, or holds
            an iterator, a queue, or a file without a position to come back to.
    """
    is_loader = isinstance(loader, DataLoader)
    parts = [loader.dataset, loader.batch_sampler, loader.sampler, loader.collate_fn] if is_loader else [loader]
    for part in parts:
        if isinstance(part, Iterator):
            raise _refusal(part)
        held = next((found for found in reachable(part) if _is_used_up(found)), None)
        if held is not None:
            raise _refusal(part, held)
    data = loader.dataset if is_loader else loader
    if isinstance(data, IterableDataset) or not (is_loader or isinstance(data, list | tuple)):
        with preserved_random_state(), preserved_state(data):
            if iter(data) is iter(data):
                raise _refusal(data)


def _is_used_up(found: object) -> bool:
    if isinstance(found, io.IOBase):
        return not found.closed and not _has_position(found)
    return isinstance(found, (Iterator, *_QUEUES))


def _has_position(file: io.IOBase) -> bool:
    try:
        file.tell()
        return file.seekable()
    except (OSError, ValueError):
        return False


def _refusal(part: object, held: object = None) -> ExperimentError:
    what = f"The train_loader reads from {describe(part)} that can be read only once"
    if held is not None:
        what = f"The train_loader reads from {describe(part)} that holds {describe(held)}, which can be read only once"
    return ExperimentError(
        f"{what}, and an experiment would use up its data. Pass some batches as a list to try things on: "
        "watch(..., train_loader=[...])."
    )
