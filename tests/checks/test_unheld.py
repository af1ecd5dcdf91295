"""Trained weights of a loss, with and without what holds them up."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import Case, assert_equal, state_of

ITEMS, FEATURES, CLASSES = 192, 6, 3


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ITEMS, FEATURES, generator=generator)
    number = 30 * torch.sin(x[:, 0] + 2 * x[:, 1])
    return TensorDataset(x, number, (x[:, 2:5] + x[:, :3] ** 2).argmax(1))


class TwoHeads(nn.Module):
    def __init__(self, weights=2, first=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU())
        self.number, self.classes = nn.Linear(16, 1), nn.Linear(16, CLASSES)
        self.weights = nn.Parameter(torch.full((weights,), first))

    def forward(self, x):
        hidden = self.body(x)
        return self.number(hidden).squeeze(1), self.classes(hidden)


class Weighing(nn.Module):
    """The weights stand in the loss, as in most modules that are handed around for this."""

    def __init__(self, held):
        super().__init__()
        self.deviations = nn.Parameter(torch.ones(2))
        self.held = held

    def forward(self, parts):
        scaled = (parts / (2 * self.deviations.square())).sum()
        return scaled + self.deviations.abs().log().sum() if self.held else scaled


def parts_of(model, batch):
    x, number, label = batch
    guess, scores = model(x)
    return torch.stack([F.mse_loss(guess, number), F.cross_entropy(scores, label)])


def exponentials(model, batch):
    return (torch.exp(-model.weights) * parts_of(model, batch)).sum()


def squares(model, batch):
    return (model.weights.square() * parts_of(model, batch)).sum()


def gates(model, batch):
    first, second = parts_of(model, batch)
    return torch.sigmoid(model.weights[0]) * first + F.softplus(model.weights[1]) * second


def held_up(model, batch):
    return (torch.exp(-model.weights) * parts_of(model, batch) + model.weights).sum()


def held_by_a_penalty(model, batch):
    return (torch.exp(-model.weights) * parts_of(model, batch)).sum() + model.weights.square().sum()


def shares(model, batch):
    return (torch.softmax(model.weights, 0) * parts_of(model, batch)).sum()


def temperature(model, batch):
    x, _, label = batch
    return F.cross_entropy(model(x)[1] * model.weights[0].exp(), label)


def one_deviation(model, batch):
    x, number, _ = batch
    return F.gaussian_nll_loss(model(x)[0], number, model.weights[0].exp().expand(len(x)))


def offset(model, batch):
    x, number, _ = batch
    return F.mse_loss(model(x)[0] + model.weights[0], number)


def checked(model, loss, *, loss_fn=None, epochs=8, rate=0.05, seconds=200.0):
    loader = DataLoader(data(), batch_size=32, shuffle=True)
    own = [] if loss_fn is None else list(loss_fn.parameters())
    made = Case(model, torch.optim.SGD([*model.parameters(), *own], lr=rate), loss_fn, loader)
    with nni.watch(model, made.optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(epochs):
            for batch in loader:
                made.optimizer.zero_grad()
                loss(model, batch).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                made.optimizer.step()
        before = state_of(made)
        finding = inspector.check("loss_learnable", seconds=seconds)
        assert_equal(before, state_of(made))
    return finding


def says_unheld(finding):
    return "lowered without learning" in finding.message


@pytest.mark.parametrize(("loss", "first"), [(exponentials, 0.0), (squares, 1.0), (gates, 0.0)])
def test_weights_that_make_the_loss_nothing_are_raised(loss, first):
    finding = checked(TwoHeads(first=first), loss)
    assert says_unheld(finding), finding.message
    assert finding.severity in ("warning", "error")
    assert finding.where == "weights"
    assert "log_variance" in finding.remedy.code
    assert finding.evidence["lowest_loss"] <= 0.01 * finding.evidence["first_loss"]


def test_what_they_did_to_the_training_makes_it_an_error():
    finding = checked(TwoHeads(), exponentials, epochs=40, rate=0.5)
    assert finding.severity == "error", finding.message
    assert "times smaller" in finding.message


@pytest.mark.parametrize("held", [False, True])
def test_weights_of_the_loss_itself(held):
    weighing = Weighing(held)
    finding = checked(TwoHeads(), lambda model, batch: weighing(parts_of(model, batch)), loss_fn=weighing)
    assert says_unheld(finding) != held, finding.message
    if not held:
        assert finding.severity == "warning"
        assert finding.where == "deviations"


@pytest.mark.parametrize("loss", [held_up, held_by_a_penalty, shares, temperature, one_deviation, offset])
def test_sound_numbers_beside_the_network_pass(loss):
    finding = checked(TwoHeads(), loss)
    assert not says_unheld(finding), finding.message
    assert finding.severity in ("ok", "info", "skipped"), finding.message


def test_a_weight_for_each_item_is_more_than_this_looks_at():
    finding = checked(
        TwoHeads(weights=64), lambda model, batch: model.weights.exp().mean() * parts_of(model, batch).sum()
    )
    assert not says_unheld(finding)


def test_without_time_nothing_is_said():
    assert not says_unheld(checked(TwoHeads(), exponentials, seconds=0))
