"""Penalties on the weights that are taken away from the loss: what counts is that the term falls without end, and grew."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.trainings import FEATURES, blobs, mlp


def squares_taken_away(model, x, y):
    return F.cross_entropy(model(x), y) - 0.02 * sum(p.pow(2).sum() for p in model.parameters())


def sizes_in_place(model, x, y):
    loss = -model(x).log_softmax(1)[torch.arange(len(y)), y].mean()
    loss -= 0.1 * model[0].weight.abs().sum()
    return loss


def squares_added(model, x, y):
    return F.cross_entropy(model(x), y) + 1e-3 * sum(p.pow(2).sum() for p in model.parameters())


def hardly_taken_away(model, x, y):
    return F.cross_entropy(model(x), y) - 1e-7 * model[0].bias.pow(2).sum()


def volume(model, x, y):
    """The logarithm of a determinant grows without end, too, but ever more slowly: as in flows."""
    weight = model[0].weight
    return F.cross_entropy(model(x), y) - 0.1 * torch.linalg.slogdet(weight.T @ weight + 1e-3 * torch.eye(FEATURES))[1]


def evenness(model, x, y):
    shares = model[2].bias.softmax(0)
    return F.cross_entropy(model(x), y) - 0.1 * -(shares * shares.log()).sum()


def turned_penalty(model, x, y):
    """What stands after the minus is the loss itself."""
    return 0.001 * model[0].weight.pow(2).sum() - model(x).log_softmax(1)[torch.arange(len(y)), y].mean()


def trained(loss):
    torch.manual_seed(0)
    model = mlp()
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

    def train():
        for _ in range(15):
            for x, y in loader:
                optimizer.zero_grad()
                loss(model, x, y).backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        return inspector.check("regularization_share")


@pytest.mark.parametrize("loss", [squares_taken_away, sizes_in_place])
def test_a_penalty_that_is_taken_away_is_an_error(loss):
    finding = trained(loss)
    assert finding.severity == "error", finding.message
    assert "a term of the weights alone with a minus" in finding.message
    assert finding.evidence["term_now"] < 10 * finding.evidence["term_at_start"] < 0
    assert "with a plus" in finding.remedy.code


@pytest.mark.parametrize("loss", [squares_added, hardly_taken_away, volume, evenness, turned_penalty])
def test_other_terms_of_the_weights_are_not_taken_for_one(loss):
    finding = trained(loss)
    assert not finding.raised, finding.message
    assert "with a minus" not in finding.message


def test_a_term_that_did_not_grow_passes_and_nothing_is_changed():
    model = nn.Linear(FEATURES, 4)
    before = model.weight.detach().clone()
    loader = DataLoader(blobs(), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for x, y in loader:
            squares_taken_away(model, x, y).backward()
            optimizer.step()
        assert not inspector.check("regularization_share").raised
    assert torch.equal(model.weight, before)
