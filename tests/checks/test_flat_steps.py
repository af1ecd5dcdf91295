"""gradient_flow: functions that rise in steps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni

X = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
Y = (X @ torch.randn(6, 3, generator=torch.Generator().manual_seed(1))).argmax(1)


class Coded(nn.Module):
    def __init__(self, code):
        super().__init__()
        self.into, self.out = nn.Linear(6, 3), nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 3))
        self.code = code

    def forward(self, x):
        return self.out(self.code(self.into(x)))


def finding_for(code):
    torch.manual_seed(0)
    model = Coded(code)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, Y), batch_size=20, shuffle=True)
    with nni.watch(model, optimizer, F.cross_entropy, train_loader=loader, show=False) as inspector:
        for _ in range(12):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    return inspector.check("gradient_flow", seconds=120)


@pytest.mark.parametrize(
    ("name", "code"),
    [("sign", torch.sign), ("round", lambda z: (z / 3).round() * 3), ("floor", lambda z: torch.floor(input=z / 5))],
    ids=["sign", "round", "floor"],
)
def test_steps_without_a_gradient_are_an_error_where_passing_it_by_helps_far(name, code):
    finding = finding_for(code)
    assert finding.severity == "error"
    assert f"{name}() rises in steps" in finding.message
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    "code",
    [
        lambda z: z + (torch.sign(z) - z).detach(),
        lambda z: z + 0.01 * torch.round(z),
        lambda z: z * torch.sign(z).abs(),
        torch.tanh,
    ],
    ids=["passed straight through", "beside the way", "not missed", "smooth"],
)
def test_steps_that_take_nothing_away_are_none(code):
    assert finding_for(code).severity == "ok"
