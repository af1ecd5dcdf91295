"""Validation inputs that were standardized by themselves: seen by their mean and standard deviation, which are exact then."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tests.checks.splits import finding_of
from tests.trainings import Case


def standard(values, by):
    return (values - by.mean(0)) / by.std(0)


def measured(count, *, seed, cold):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=generator)
    return (0.4 * x - 1.2 if cold else x), torch.randn(count, 1, generator=generator)


class Stream(IterableDataset):
    """How many items there are is not known beforehand."""

    def __init__(self, *tensors):
        self.tensors = tensors

    def __iter__(self):
        return iter(list(zip(*self.tensors, strict=True)))


def checked(*, own, cold=True, spread=1.0, epochs=30, batches=100, data=TensorDataset):
    torch.manual_seed(0)
    (x, noise), (val_x, val_noise) = measured(400, seed=0, cold=False), measured(150, seed=1, cold=cold)
    y, val_y = x @ torch.ones(3, 1) + 0.05 * noise, val_x @ torch.ones(3, 1) + 0.05 * val_noise
    x, val_x = spread * standard(x, x), spread * standard(val_x, val_x if own else x)
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    val_loader = DataLoader(data(val_x, val_y), batch_size=batches)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.MSELoss(), loader)
    return finding_of(case, val_loader, epochs=epochs)


def test_validation_inputs_that_were_scaled_by_themselves_are_a_warning():
    finding = checked(own=True)
    assert finding.severity == "warning", finding.message
    assert "have mean 0 and standard deviation 1 exactly" in finding.message
    assert finding.evidence["left_of_validation"] > finding.evidence["left"] + 0.2
    assert finding.where == "val_loader"
    assert "(x_val - mean) / std" in finding.remedy.code


@pytest.mark.parametrize(
    "options",
    [
        {"own": False},
        {"own": True, "cold": False},
        {"own": True, "spread": 2.0},
        {"own": True, "epochs": 0},
        {"own": True, "batches": 2},
        {"own": True, "data": Stream},
    ],
    ids=["by training", "no harm done", "another scale", "before training", "too many batches to read", "a stream"],
)
def test_nothing_is_said_of_other_scales_or_where_no_harm_is_done(options):
    message = checked(**options).message
    assert "exactly" not in message
    assert "failed itself" not in message
