"""Numbers that their format has rounded: in the inputs, or in what these were made of."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data.coarse_columns import coarse_column
from nn_inspector.checks.data.inputs_seen import InputsSeen
from nn_inspector.checks.data.standing_columns import Standing, _standing

START, PERIOD, ITEMS = 1_700_000_000, 90, 1000


def table(*columns, dtype=torch.float32, dims=2):
    values = torch.stack([column.to(dtype).float() for column in columns], 1)
    return InputsSeen(values, 1, dims, False, False, dtype=dtype)


def random(items=ITEMS, seed=0):
    return torch.rand(items, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


STAMPS = START + 7200 * random()
NOISE = torch.randn(ITEMS, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("seen", "column", "apart"),
    [
        (table(STAMPS), 0, 128),
        (table(NOISE, STAMPS), 1, 128),
        (table(-STAMPS, dims=3), 0, 128),
        (table(30_000_000 + 40 * random()), 0, 2),
        (table(1990 + 33 * random(), dtype=torch.bfloat16), 0, 8),
        (table(1013 + 10 * random(), dtype=torch.bfloat16), 0, 4),
    ],
    ids=["time stamps", "beside another column", "in sequences, below 0", "numbers of customers", "years", "pressures"],
)
def test_numbers_too_large_for_their_format_are_seen(seen, column, apart):
    found = coarse_column(seen)
    assert found is not None
    assert (found.column, found.apart) == (column, apart)
    assert found.numbers <= found.items / 3


@pytest.mark.parametrize(
    "seen",
    [
        table(STAMPS, dtype=torch.float64),
        table(STAMPS - START),
        table(START + 3e7 * random()),
        table(START + 86_400 * (30 * random()).floor()),
        table(2e7 + 1000 * (50 * random()).floor()),
        table(torch.full((ITEMS,), 1.7e9)),
        table(START + 128 * (random() < 0.5)),
        table(1990 + (30 * random()).floor(), dtype=torch.float16),
        table((255 * random()).floor(), dtype=torch.bfloat16),
        table(STAMPS[:20]),
        table(STAMPS.where(random(seed=2) < 0.9, math.nan)),
        table(torch.zeros(ITEMS)),
        table(STAMPS, dims=4),
    ],
    ids=[
        "float64", "seconds since the start", "a year of time stamps", "days in seconds", "money in thousands", "a constant",
        "two times", "years in float16", "pixels", "few items", "missing ones", "zeros", "images",
    ],
)  # fmt: skip
def test_numbers_that_their_format_can_tell_apart_pass(seen):
    assert coarse_column(seen) is None


class Cycle(nn.Module):
    """Takes time stamps and makes angles of them itself, or is given angles; or leaves the first column alone."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.layers = nn.Sequential(nn.Linear(1 if how == "ignores" else 3, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x):
        if self.how == "ignores":
            return self.layers(x[:, 1:])
        if self.how == "stamps":
            angle = 2 * math.pi * (x[:, :1] - START) / PERIOD
            x = torch.cat([angle.sin(), angle.cos(), x[:, 1:]], 1)
        return self.layers(x)


def angles(seconds):
    angle = 2 * math.pi * seconds / PERIOD
    return torch.stack([angle.sin(), angle.cos()], 1).float()


def finding_of(inputs, target, how, order=None, loss_fn=None):
    torch.manual_seed(0)
    order = torch.arange(ITEMS) if order is None else order
    model = Cycle(how)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.01), loss_fn or nn.MSELoss()
    loader = DataLoader(TensorDataset(inputs[order], target[order]), batch_size=50, shuffle=True)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(8):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
    return inspector.check("input_scale", seconds=60.0)


SORTED = STAMPS.sort().values
LOAD = angles(SORTED - START)[:, :1] + 0.4 * NOISE[:, None]


def test_time_stamps_in_float32_are_a_warning_where_the_training_did_badly():
    finding = finding_of(torch.stack([SORTED.float(), NOISE], 1), LOAD, "stamps")
    assert finding.severity == "warning", finding.message
    assert "column 0 holds numbers around 1.7e+09 in float32, which are 128 apart there" in finding.message
    assert finding.remedy.text.startswith("Subtract the first time stamp")


def test_they_are_left_alone_where_the_training_did_well():
    finding = finding_of(torch.stack([SORTED.float(), NOISE], 1), NOISE[:, None], "ignores")
    assert finding.severity in ("ok", "info"), finding.message
    assert "apart there" not in finding.message


def test_angles_of_rounded_times_are_a_warning():
    rounded = SORTED.float() - START
    finding = finding_of(torch.cat([angles(rounded), NOISE[:, None]], 1), LOAD, "angles")
    assert finding.severity == "warning", finding.message
    assert "columns 0, 1 keep their numbers for 18 items in a row and then jump. " in finding.message
    assert "If a column is made of time stamps, subtract" in finding.remedy.text


def grouped(told):
    """Something of each of 50 groups that stand in the data one after the other."""
    return told[torch.arange(ITEMS) // 20]


WORTH = torch.randn(50, 2, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("inputs", "target", "order"),
    [
        (torch.cat([angles(SORTED - START), NOISE[:, None]], 1), LOAD, None),
        (torch.cat([angles(SORTED.float() - START), NOISE[:, None]], 1), LOAD, torch.randperm(ITEMS)),
        (torch.cat([grouped(WORTH), NOISE[:, None]], 1), torch.randn(ITEMS, 1), None),
        (torch.cat([grouped(WORTH), NOISE[:, None]], 1), grouped(torch.randn(50, 1)), None),
        (torch.cat([grouped(WORTH.cumsum(0) / 7), NOISE[:, None]], 1), LOAD, None),
    ],
    ids=["exact times", "in no order", "nothing to be learned of groups", "groups apart", "what changes slowly"],
)
def test_columns_that_stand_still_pass_where_nothing_goes_on_meanwhile(inputs, target, order):
    finding = finding_of(inputs, target, "angles", order)
    assert "in a row" not in finding.message


def test_classes_are_not_looked_at_in_their_order():
    rounded = SORTED.float() - START
    labels = (LOAD > 0).float()
    finding = finding_of(
        torch.cat([angles(rounded), NOISE[:, None]], 1), labels, "angles", loss_fn=nn.BCEWithLogitsLoss()
    )
    assert "in a row" not in finding.message


def test_how_columns_stand_still():
    told = torch.cat([grouped(WORTH), NOISE[:, None]], 1).double()
    wave = torch.sin(torch.arange(ITEMS).double() / 3)
    found = _standing(told, wave)
    assert isinstance(found, Standing)
    assert (found.columns, found.items) == ((0, 1), 20)
    assert found.within > 0.9
    assert found.smooth < 0.1
    assert _standing(told, NOISE.double()) is None
    assert _standing(told[:, :1] * 0, wave) is None
    assert _standing((told > 0).double(), wave) is None
    assert _standing(told, torch.zeros(ITEMS).double()) is None
