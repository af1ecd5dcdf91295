import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import assert_equal


def field():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))


def residual(factor=1.0, **options):
    """Of u' = 2 cos 3t - u, with u(0) = 1, times a factor."""

    def loss(model, t):
        t = t.clone().requires_grad_()
        u = model(t)
        du = torch.autograd.grad(u.sum(), t, retain_graph=True, **options)[0]
        begin = model(torch.zeros(1, 1)) - 1
        return (factor * du + factor * (u - 2 * torch.cos(3 * t))).square().mean() + begin.square().mean()

    return loss


def harder(model, t):
    """An error on inputs that were moved to where it is greater: the direction is a constant, as it should be."""
    t = t.clone().requires_grad_()
    slope = torch.autograd.grad((model(t) - torch.sin(3 * t)).square().sum(), t)[0]
    moved = t + 0.01 * slope.sign()
    return (model(moved) - torch.sin(3 * moved)).square().mean()


def weighed(model, t):
    """Two terms, one of them weighted by how steep the other is."""
    one, two = (model(t) - torch.sin(3 * t)).square().mean(), model(t).square().mean()
    steep = torch.autograd.grad(one, model[-1].weight, retain_graph=True)[0]
    return one + 0.01 * two * steep.norm().clamp(max=1)


def finding_of(loss_of, *, seconds=120.0):
    model = field()
    t = 2 * torch.rand(512, 1, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(t), 64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for _ in range(25):
            for (t,) in loader:
                optimizer.zero_grad()
                loss_of(model, t).backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_of, train_loader=loader, loop=train, show=False) as inspector:
        train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = inspector.check("gradient_flow", seconds=seconds)
        assert_equal(before, dict(model.state_dict()))
    return found


@pytest.mark.parametrize("factor", [1.0, -0.5])
def test_a_derivative_without_its_graph_is_an_error(factor):
    finding = finding_of(residual(factor))
    assert finding.severity == "error", finding.message
    assert "To the training it is a constant" in finding.message
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"
    t = torch.rand(4, 1, requires_grad=True)
    names = {"torch": torch, "t": t, "u": field()(t)}
    exec(finding.remedy.code, names)
    assert names["du"].requires_grad


@pytest.mark.parametrize("loss", [residual(create_graph=True), harder, weighed], ids=["kept", "harder", "weighed"])
def test_what_is_kept_or_meant_as_a_constant_passes(loss):
    finding = finding_of(loss)
    assert finding.severity == "ok", finding.message


def test_without_time_nothing_is_tried():
    assert finding_of(residual(), seconds=0).severity == "ok"
