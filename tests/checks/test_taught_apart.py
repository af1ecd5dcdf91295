"""Whether the validation data are of another task is told by copies that learn from each: where a simple model says nothing."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.checks.splits import finding_of
from tests.trainings import Case


def bars(count, *, seed, turned=False):
    """A short bar somewhere in a picture: lying or standing."""
    generator = torch.Generator().manual_seed(seed)
    pictures = 0.2 * torch.randn(count, 1, 12, 12, generator=generator)
    kinds = torch.randint(2, (count,), generator=generator)
    for picture, kind in zip(pictures, kinds, strict=True):
        row, column = torch.randint(1, 9, (2,), generator=generator).tolist()
        lying = bool(kind) != turned
        picture[0, row : row + (1 if lying else 3), column : column + (3 if lying else 1)] += 1
    return pictures, kinds


def without_sense(count, *, seed):
    pictures, kinds = bars(count, seed=seed)
    return pictures, kinds[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]


def checked(validation, *, training=None, epochs=12, size=20, seconds=300.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    loader = DataLoader(TensorDataset(*(training or bars(300, seed=0))), batch_size=size, shuffle=True)
    val_loader = DataLoader(TensorDataset(*validation), batch_size=100)
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss(), loader)
    return finding_of(case, val_loader, epochs=epochs, seconds=seconds)


def test_pictures_that_are_turned_in_validation_are_an_error():
    finding = checked(bars(300, seed=1, turned=True))
    assert finding.severity == "error", finding.message
    assert "learned from 140 items of the validation data" in finding.message
    assert "mean something else" in finding.message
    found = finding.evidence
    assert found["left_taught_by_validation"] < 0.4
    assert min(found["left_taught_by_training"], found["left"]) > 0.8
    assert (finding.basis, finding.where) == ("experiment", "val_loader")
    assert "train_loader, val_loader" in finding.remedy.code


@pytest.mark.parametrize(
    ("validation", "options"),
    [
        (bars(300, seed=1), {}),
        (without_sense(300, seed=1), {}),
        (bars(80, seed=1, turned=True), {}),
        (bars(300, seed=1, turned=True), {"training": bars(40, seed=0), "epochs": 80}),
        (bars(300, seed=1, turned=True), {"seconds": 0.0}),
    ],
    ids=["of one kind", "nothing to learn in it", "too few to learn from", "less for training", "no time"],
)
def test_nothing_is_said_where_both_are_alike_or_too_little_is_known(validation, options):
    finding = checked(validation, **options)
    assert finding.severity in ("ok", "skipped"), finding.message
    assert "copy" not in finding.message


def test_a_network_that_has_not_learned_says_nothing_of_the_validation_data():
    assert checked(bars(300, seed=1, turned=True), training=without_sense(300, seed=0)).severity == "ok"
