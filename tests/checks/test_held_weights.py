"""Penalties that pull back to where the weights were: they are nothing at first, and small where the weights cannot leave."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import blobs, mlp


def squares(model, first):
    return sum((p - first[name]).pow(2).sum() for name, p in model.named_parameters())


def of_another_model(model, first):
    return sum((p - q).norm() ** 2 for p, q in zip(model.parameters(), first.parameters(), strict=True))


def trained(factor, penalty, data=None, *, of_a_copy=False):
    torch.manual_seed(0)
    model = mlp()
    loader = DataLoader(data or blobs(), batch_size=16, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5)
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = copy.deepcopy(model).requires_grad_(False) if of_a_copy else first

    def train():
        for _ in range(40):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y) + factor * penalty(model, first)
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        return inspector.check("regularization_share", seconds=60.0)


@pytest.mark.parametrize(("penalty", "of_a_copy"), [(squares, False), (of_another_model, True)])
def test_weights_that_are_held_where_they_began_are_an_error(penalty, of_a_copy):
    finding = trained(20.0, penalty, of_a_copy=of_a_copy)
    assert finding.severity == "error", finding.message
    assert "holds them there" in finding.message
    assert finding.evidence["pull_now"] > 0.5
    assert finding.remedy.tried.helped


def nothing_to_learn():
    x = blobs().tensors[0]
    return TensorDataset(x, torch.randint(4, (len(x),), generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("factor", "data"),
    [(1e-3, None), (0.05, None), (0.05, nothing_to_learn())],
    ids=["weak", "usual", "nothing to learn"],
)
def test_weights_that_may_go_where_the_data_lead_pass(factor, data):
    finding = trained(factor, squares, data)
    assert not finding.raised, finding.message


def test_a_layer_that_learns_beside_one_that_is_held_passes():
    def of_the_first_layer(model, first):
        return (model[0].weight - first["0.weight"]).pow(2).sum()

    assert isinstance(mlp()[0], nn.Linear)
    assert not trained(20.0, of_the_first_layer).raised
