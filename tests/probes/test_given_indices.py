"""Which items of the data set are in a batch is known without and with workers, or else said to be unknown."""

import itertools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import nn_inspector as nni
from nn_inspector.probes.given_indices import numbered

ITEMS = 26


class Itself(Dataset):
    """Each item is its own index; one of them cannot be had."""

    lost = None

    def __len__(self):
        return ITEMS

    def __getitem__(self, index):
        if index == self.lost:
            raise OSError("no such file")
        return index


class Damaged(Itself):
    lost = 9


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(ITEMS))


class OfItsOwn(DataLoader):
    def _get_iterator(self):
        return super()._get_iterator()


KNOWN = {
    "no workers": {"num_workers": 0, "batch_size": 4, "shuffle": True},
    "one worker": {"num_workers": 1, "batch_size": 4},
    "shuffled": {"num_workers": 2, "batch_size": 4, "shuffle": True},
    "without the rest": {"num_workers": 2, "batch_size": 4, "drop_last": True},
    "persistent": {"num_workers": 2, "batch_size": 4, "shuffle": True, "persistent_workers": True},
    "one ahead": {"num_workers": 2, "batch_size": 4, "prefetch_factor": 1},
    "fewer batches than are asked for": {"num_workers": 2, "batch_size": 20},
}

UNKNOWN = {
    "as they are ready": (DataLoader, Itself, {"num_workers": 2, "batch_size": 4, "in_order": False}),
    "a stream": (DataLoader, Stream, {"num_workers": 1, "batch_size": 4}),
    "an iterator of its own": (OfItsOwn, Itself, {"num_workers": 1, "batch_size": 4}),
}


def passes(loader, count=2, most=None):
    """What was handed out, and what was known of it, in some passes over a loader."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for _ in range(count):
            for batch in itertools.islice(loader, most):
                yield batch.tolist(), inspector._attachment._given()
    assert inspector.problems == []


@pytest.mark.parametrize("options", KNOWN.values(), ids=KNOWN)
def test_indices_are_those_of_the_batch_in_every_pass(options):
    found = list(passes(DataLoader(Itself(), **options)))
    assert len(found) >= 4
    assert [known for _, known in found] == [batch for batch, _ in found]


def test_a_pass_that_is_broken_off_leaves_nothing_to_the_next():
    loader = DataLoader(Itself(), batch_size=4, shuffle=True, num_workers=2, persistent_workers=True)
    found = list(passes(loader, count=3, most=2))
    assert len(found) == 6
    assert [known for _, known in found] == [batch for batch, _ in found]


@pytest.mark.parametrize(("kind", "data", "options"), UNKNOWN.values(), ids=UNKNOWN)
def test_where_it_is_not_known_which_batch_comes_nothing_is_claimed(kind, data, options):
    found = list(passes(kind(data(), **options)))
    assert len(found) == 14
    assert [numbered(known) for _, known in found] == [None] * 14


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_cannot_be_had_leaves_the_next_its_own_indices(workers):
    loader = DataLoader(Damaged(), batch_size=4, num_workers=workers)
    model = nn.Linear(1, 1)
    with nni.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loader=loader, show=False) as inspector:
        iterator, found = iter(loader), []
        for _ in range(len(loader)):
            try:
                found.append((next(iterator).tolist(), inspector._attachment._given()))
            except OSError:
                continue
    assert len(found) == len(loader) - 1
    assert [known for _, known in found] == [batch for batch, _ in found]
