"""Numbers that wrap around on their way out of the data set."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data.wrapped_around import fall

STORED = torch.arange(60, 250).repeat(3)


@pytest.mark.parametrize(
    ("given", "period"),
    [
        ((STORED + 60) % 256, 256),
        (((STORED + 60) % 256) / 255, 256),
        (((STORED * 1.3 + 20).long() % 256 / 255 - 0.5) / 0.2, 256),
        (STORED.to(torch.int8), 256),
        ((STORED // 7 * 7 + 60) % 256, 256),
        ((STORED * 100 + 20_000).to(torch.int16).float() / 100, None),
        (torch.arange(570).mul(1)[STORED] + 65_400 - ((STORED + 65_400) >= 65_536) * 65_536, 65_536),
        ((STORED + 60).clamp(max=255), None),
        ((STORED + 60) / 255, None),
        (255 - STORED, None),
        (STORED // 64 * 64, None),
        (torch.where(STORED < 128, STORED, 255 - STORED), None),
        (STORED % 24, None),
        (STORED.roll(1), None),
        (torch.zeros(570), None),
        (torch.rand(570, generator=torch.Generator().manual_seed(0)), None),
    ],
)
def test_a_fall_by_all_that_a_format_holds(given, period):
    found = fall(STORED, given)
    assert (found is None) if period is None else (found is not None and found[0] == period)


def test_few_levels_are_enough_where_nothing_was_multiplied():
    stored = 100 + torch.arange(17).repeat(4) * 7
    assert fall(stored, (stored + 70) % 256 / 255) == (256, pytest.approx(4 / 17))


class Photos(Dataset):
    """Pictures in bytes, of two kinds; `brighten` makes another one of each when it is read."""

    def __init__(self, brighten, *, shape=(12, 12), items=64):
        generator = np.random.default_rng(0)
        self.kinds = generator.integers(0, 2, items)
        pictures = generator.normal(170, 22, (items, *shape)) + 30 * self.kinds.reshape(-1, *[1] * len(shape))
        self.pictures = pictures.clip(0, 255).astype(np.uint8)
        self.brighten = brighten

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, index):
        picture = self.brighten(self.pictures[index])
        picture = picture.transpose(2, 0, 1) if picture.ndim == 3 else picture[None]
        return torch.from_numpy(np.ascontiguousarray(picture)).float() / 255, int(self.kinds[index])


def in_bytes(picture):
    return picture + np.uint8(70)


def mirrored_in_bytes(picture):
    return (picture * 1.2 + 30).astype(np.int64).astype(np.uint8)[:, ::-1]


def clipped(picture):
    return (picture.astype(np.float32) + 70).clip(0, 255).astype(np.uint8)


def in_numbers(picture):
    return picture.astype(np.float32) * 1.2 + 30


def turned_to_its_negative(picture):
    return 255 - picture


def as_it_is(picture):
    return picture


def noisy(picture):
    return picture + np.random.default_rng(1).normal(0, 9, picture.shape)


def diagnosed(data, model, epochs=3):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(data, batch_size=16, shuffle=True)
    loss_fn = nn.CrossEntropyLoss()
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(epochs):
            for x, y in loader:
                loss = loss_fn(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return inspector.check("input_scale", seconds=60.0)


def network(numbers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(numbers, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("brighten", "shape"),
    [(in_bytes, (12, 12)), (in_bytes, (12, 12, 3)), (mirrored_in_bytes, (12, 12)), (mirrored_in_bytes, (12, 12, 3))],
)
def test_pictures_that_wrap_around_are_named(brighten, shape):
    finding = diagnosed(Photos(brighten, shape=shape), network(int(np.prod(shape))))
    assert "items have wrapped around" in finding.message
    assert finding.severity == "warning", finding.message
    assert finding.where == "train.pictures"
    assert finding.evidence["period"] == 256


@pytest.mark.parametrize("brighten", [clipped, in_numbers, turned_to_its_negative, as_it_is, noisy])
def test_pictures_that_do_not_are_not(brighten):
    finding = diagnosed(Photos(brighten), network(144), epochs=1)
    assert "wrapped" not in finding.message


class Counts(Dataset):
    """A table of counts, cast when an item is read."""

    def __init__(self, dtype):
        generator = np.random.default_rng(0)
        self.rows = generator.integers(0, [100, 240, 120], (300, 3))
        self.kinds = (self.rows[:, 1] > 120).astype(np.int64)
        self.dtype = dtype

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return torch.from_numpy(self.rows[index].astype(self.dtype)).float() / 100, int(self.kinds[index])


def test_a_column_that_was_cast_too_small_is_named():
    finding = diagnosed(Subset(Counts(np.int8), range(20, 300)), network(3))
    assert finding.severity == "warning", finding.message
    assert "column 1 of your items has wrapped around" in finding.message
    assert "wrapped" not in diagnosed(Counts(np.int16), network(3)).message


def test_items_that_hold_no_numbers_of_what_is_stored_are_left_alone():
    finding = diagnosed(TensorDataset(torch.randn(64, 3), torch.randint(0, 2, (64,))), network(3))
    assert "wrapped" not in finding.message
