"""A loss that is a module and calls the network itself is looked into, and computed again on copies of the network."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.experiments import isolated


class Residual(nn.Module):
    """Of a differential equation: the network is given to the loss, or belongs to it."""

    def __init__(self, own=None):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        self.own = [own]

    def forward(self, *given):
        model, x = given if len(given) == 2 else (self.own[0], *given)
        x = x.clone().requires_grad_(True)
        u = model(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        ends = model(torch.tensor([[0.0], [1.0]]))
        return (slope + self.scale * u).square().mean() + ends.square().mean()


@pytest.mark.parametrize("is_given", [True, False], ids=["given to the loss", "of the loss"])
def test_a_loss_that_calls_the_network_is_computed_again(is_given):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loss_fn = Residual(None if is_given else model)
    loader = DataLoader(TensorDataset(torch.rand(96, 1)), batch_size=16, shuffle=True)

    def train():
        for _ in range(4):
            for (x,) in loader:
                optimizer.zero_grad()
                loss = loss_fn(model, x) if is_given else loss_fn(x)
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train()
        (x,) = batch = next(iter(loader))
        with isolated(inspector.training) as copied:
            again = copied.loss(batch)
            expected = loss_fn(copied.model, x) if is_given else loss_fn(x)
        assert torch.equal(again, expected)
        with isolated(inspector.training) as copied, torch.no_grad():
            copied.model[0].weight.zero_()
            assert not torch.equal(copied.loss(batch), expected)


def test_a_loss_that_calls_nothing_stays_one_call():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(torch.randn(64, 4), torch.randint(3, (64,))), batch_size=16)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(2):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
        assert [one.name for one in inspector.training.tape.operations] == ["model", "loss_fn"]
