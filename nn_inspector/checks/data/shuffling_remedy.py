"""What shuffling would bring, tried on a copy, and how to do it with the user's loader."""

from __future__ import annotations

import math
from typing import Any

from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    default_collate,
)

from nn_inspector.checks.base import Subject, try_out
from nn_inspector.experiments import Arm, BatchSource, item_sampler, without_regularization
from nn_inspector.history import Remedy, Trial

_STEPS = 120
_JUDGED = 256
_FELL = 0.1
_ENOUGH = 100
"""A trial with fewer steps was cut short: sorted data may not have come to their second class by then."""

_BUFFER = """import random


class Shuffled(torch.utils.data.IterableDataset):
    def __init__(self, data, size=1000):
        self.data, self.size = data, size

    def __iter__(self):
        buffer = []
        for item in self.data:
            buffer.append(item)
            if len(buffer) >= self.size:
                yield buffer.pop(random.randrange(len(buffer)))
        random.shuffle(buffer)
        yield from buffer


train_loader = torch.utils.data.DataLoader(Shuffled(train_loader.dataset), batch_size={size})"""


def try_shuffling(subject: Subject) -> Trial | None:
    """Train one copy on the batches as they come and one on mixed ones: once for all checks."""

    def arms(source: BatchSource) -> tuple[Arm, Arm]:
        in_order = source.as_loaded(_STEPS)
        # Drawn apart, so that what judges is not what the mixed arm begins with.
        judge = BatchSource(subject.training.train_loader, seed=1, seconds=subject.seconds / 3).mixed(1, size=_JUDGED)[
            0
        ]
        # Regularization is off in both, so that a second fault does not hide what this one does.
        sorted_arm = Arm(in_order, judge, change=without_regularization)
        return sorted_arm, Arm(source.mixed(len(in_order)), judge, change=without_regularization)

    trial: Trial | None = subject.once("shuffled training", lambda: try_out(subject, arms, steps=_STEPS))
    return trial


def speaks_against(trial: Trial | None) -> bool:
    """Whether the network learned in the trial, and no better with mixed batches than without.

    A trial in which neither side learned says nothing, for another fault is in the way; nor does one that time cut short.
    """
    if trial is None or trial.helped or len(trial.treated) <= _ENOUGH:
        return False
    start, end = trial.treated[0], trial.treated[-1]
    return math.isfinite(end) and start - end > _FELL * abs(start)


def by_design(subject: Subject) -> bool:
    """Whether the user wrote the sampler that puts the batches together."""
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    return not isinstance(item_sampler(loader), SequentialSampler | RandomSampler | SubsetRandomSampler | list | range)


def remedy(subject: Subject, trial: Trial | None) -> Remedy:
    """How to shuffle what this loader reads."""
    loader = subject.training.train_loader
    if not isinstance(loader, DataLoader):
        code = "import random\n\nrandom.shuffle(train_loader)  # mixes the batches of the list; better: mix the items themselves"
        return Remedy("Shuffle the training data anew in every epoch.", code, trial)
    if isinstance(loader.dataset, IterableDataset):
        text = "Shuffle where the items are read, or let them wait in a buffer from which one is taken at random."
        return Remedy(text, f"import torch\n{_BUFFER.replace('{size}', str(_batch_size(loader)))}", trial)
    code = f"train_loader = torch.utils.data.DataLoader(train_loader.dataset, {_options(loader)}, shuffle=True)"
    return Remedy("Shuffle the training data anew in every epoch.", code, trial)


def _options(loader: DataLoader[Any]) -> str:
    """The options of the loader that a new one has to have as well."""
    options = [f"batch_size={_batch_size(loader)}"]
    if loader.collate_fn is not default_collate and _batch_size(loader) is not None:
        options.append("collate_fn=train_loader.collate_fn")
    options += [f"num_workers={loader.num_workers}"] if loader.num_workers else []
    options += ["drop_last=True"] if loader.drop_last else []
    return ", ".join(options)


def _batch_size(loader: DataLoader[Any]) -> int | None:
    size = loader.batch_size
    if size is None:
        size = getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) else 32 if loader.batch_sampler is not None else None
