"""Items of a data set are looked up without a trace."""

import random
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import look_up


class Noisy(Dataset):
    """Draws from every generator and remembers what was asked."""

    def __init__(self):
        self.asked = []
        self.counts = np.zeros(3)
        self.generator = torch.Generator().manual_seed(1)
        self.open = None

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.asked.append(index)
        self.counts += 1
        self.open = object()
        return (
            random.random() + np.random.rand() + torch.rand(1).item() + torch.rand(1, generator=self.generator).item()
        )


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(8))


class Broken(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise OSError("the disk is gone\nand more")


class Slow(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        time.sleep(0.05)
        return index


def test_neither_the_data_set_nor_random_numbers_know_of_it():
    data = Noisy()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), data.generator.get_state()
    found = look_up(DataLoader(data, batch_size=2, num_workers=2), [7, 3], float, seconds=5.0)
    assert list(found) == [7, 3]
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), data.generator.get_state()
    assert before[:2] == after[:2]
    assert all(torch.equal(one, other) for one, other in zip(before[2:], after[2:], strict=True))
    assert (data.asked, data.counts.tolist(), data.open) == ([], [0.0, 0.0, 0.0], None)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([1, 2], "no DataLoader"),
        (None, "no DataLoader"),
        (DataLoader(Stream()), "cannot be asked for an item by its number"),
        (DataLoader(Broken()), "Item 1 could not be had: OSError: the disk is gone."),
        (DataLoader([1]), "Item 1 could not be had: IndexError"),
    ],
)
def test_what_cannot_be_had_is_said(loader, message):
    with pytest.raises(ExperimentError, match=message):
        look_up(loader, [1], str, seconds=1.0)


def test_after_an_error_all_is_put_back():
    data = Noisy()
    state = random.getstate()
    with pytest.raises(ExperimentError, match="ZeroDivisionError"):
        look_up(DataLoader(data), [1], lambda item: 1 / 0, seconds=1.0)
    assert (random.getstate(), data.asked) == (state, [])


def test_a_slow_data_set_is_asked_for_one_item_at_least():
    assert look_up(DataLoader(Slow()), [2, 1, 0], int, seconds=0.0) == {2: 2}
