"""Choices that have no gradient, and passing it straight through."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.loop.straight_through import choice_of
from nn_inspector.experiments import Start, isolated, take_apart
from tests.trainings import assert_equal


class Pictures(nn.Module):
    """An autoencoder of pictures, whose codes are taken from a book place by place."""

    def __init__(self, passed_on):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 4, 1))
        self.book = nn.Embedding(24, 4)
        nn.init.normal_(self.book.weight, std=0.3)
        self.decoder = nn.Sequential(nn.Conv2d(4, 16, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1))
        self.passed_on = passed_on

    def forward(self, x):
        given = self.encoder(x)
        flat = given.permute(0, 2, 3, 1).reshape(-1, 4)
        nearest = (flat.pow(2).sum(1, True) - 2 * flat @ self.book.weight.t() + self.book.weight.pow(2).sum(1)).argmin(
            1
        )
        rows = self.book(nearest).view(len(x), *given.shape[2:], 4).permute(0, 3, 1, 2)
        added = F.mse_loss(rows, given.detach()) + 0.25 * F.mse_loss(given, rows.detach())
        return self.decoder(self.passed_on(given, rows)), added


def cut(given, rows):
    return rows


def straight(given, rows):
    return given + (rows - given).detach()


def pictures(items=256):
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(0, 8, (items, 2), generator=generator)
    x = torch.zeros(items, 1, 8, 8)
    for picture, (row, column) in zip(x, places.tolist(), strict=True):
        picture[0, row] += 1
        picture[0, :, column] += 1
    return TensorDataset(x)


def watched_training(passed_on, *, epochs=15, rate=4e-3):
    model, loader = Pictures(passed_on), DataLoader(pictures(), 32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def train():
        for _ in range(epochs):
            for (x,) in loader:
                output, added = model(x)
                loss = F.mse_loss(output, x) + added
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    inspector = nni.watch(model, optimizer, train_loader=loader, loop=train, show=False)
    train()
    inspector.detach()
    return inspector


def test_a_choice_without_a_gradient_is_an_error_where_passing_it_by_helps_far():
    inspector = watched_training(cut)
    before = {name: value.clone() for name, value in inspector.training.model.state_dict().items()}
    finding = inspector.check("gradient_flow", seconds=120.0)
    assert finding.severity == "error", finding.message
    assert "rows of a table are chosen by an argmin or argmax" in finding.message
    assert finding.evidence["passed_by"] < 0.5 * finding.evidence["as_it_is"]
    assert finding.remedy.tried.helped
    assert_equal(before, dict(inspector.training.model.state_dict()))


def test_one_that_is_passed_straight_through_is_none():
    inspector = watched_training(straight, epochs=4)
    assert inspector.check("gradient_flow", seconds=120.0).severity == "ok"


def seen(model, *batch):
    loader = DataLoader(TensorDataset(*batch), 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inspector = nni.watch(model, optimizer, F.mse_loss, train_loader=loader, show=False)
    inspector.detach()
    with isolated(inspector.training, start=Start()) as copied:
        return take_apart(copied, next(iter(loader)), training=True)


class Words(nn.Module):
    """Looks up what the data say, and what it said itself as well."""

    def __init__(self, how):
        super().__init__()
        self.how, self.table, self.first, self.last = how, nn.Embedding(5, 3), nn.Linear(3, 5), nn.Linear(3, 1)

    def forward(self, x):
        if self.how == "data":
            return self.last(self.table(x[:, 0].long()))
        scores = self.first(x)
        if self.how == "of another shape":
            return self.last(self.table(scores.argmax(1)))
        if self.how == "of no use":
            self.table(scores.argmax(1))
        return self.last(x)


@pytest.mark.parametrize("how", ["data", "of another shape", "of no use"])
def test_look_ups_that_stand_for_nothing_trained_are_no_choice(how):
    torch.manual_seed(0)
    assert choice_of(seen(Words(how), torch.rand(16, 3), torch.rand(16, 1))) is None
