"""A frozen body that was never trained is named, and a frozen one that was trained is left alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import Case


def signs(items=480, seed=0):
    """Twenty numbers; the class is whether the first two have the same sign."""
    inputs = torch.randn(items, 20, generator=torch.Generator().manual_seed(seed))
    inputs[:, :2] *= 3
    return TensorDataset(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long())


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh())
        self.head = nn.Linear(24, 2)

    def forward(self, x):
        return self.head(self.body(x))


def frozen(model):
    model.body.requires_grad_(False)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.01)
    return Case(model, optimizer, nn.CrossEntropyLoss(), DataLoader(signs(), batch_size=32, shuffle=True))


def random_body():
    torch.manual_seed(0)
    return frozen(Judge())


def trained_body():
    torch.manual_seed(0)
    model = Judge()
    Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), DataLoader(signs(), 32)).run(12)
    model.head.reset_parameters()
    return frozen(model)


def partly_trained_body():
    """Half of it comes from elsewhere, so that it is frozen on purpose."""
    case = random_body()
    with torch.no_grad():
        case.model.body[0].weight.mul_(1.5)
        case.model.body[0].bias.fill_(0.1)
    return case


def enough_of_random_features():
    case = random_body()
    case.optimizer.param_groups[0]["lr"] = 0.1
    case.train_loader = DataLoader(
        TensorDataset(signs().tensors[0], (signs().tensors[0][:, 0] > 0).long()), batch_size=32, shuffle=True
    )
    return case


def test_a_random_body_is_named(watched):
    finding = watched(random_body(), lambda case: case.run(10)).check("trainable_parameters")
    assert finding.severity == "error", finding.message
    assert "body.0.weight, body.0.bias, body.2.weight and 1 more are frozen as they were made" in finding.message
    assert finding.remedy.tried.helped
    assert "requires_grad_(True)" in finding.remedy.code


@pytest.mark.parametrize("make", [trained_body, partly_trained_body, enough_of_random_features])
def test_a_body_that_serves_or_was_trained_is_left_alone(watched, make):
    finding = watched(make(), lambda case: case.run(10)).check("trainable_parameters")
    assert (finding.severity, finding.message) == ("ok", "Yes: 2 of 6 parameters are stepped, 4 are frozen.")


def test_without_experiments_nothing_is_said(watched):
    finding = watched(random_body(), lambda case: case.run(10)).check("trainable_parameters", seconds=0)
    assert finding.severity == "ok"


class Distilled(nn.Module):
    """A network that is to tell what a frozen one of random weights says."""

    def __init__(self):
        super().__init__()
        self.random = nn.Linear(20, 4)
        self.told = nn.Sequential(nn.Linear(20, 1), nn.Linear(1, 4))

    def forward(self, x):
        target = self.random(x)
        return self.told(x), target


def test_a_random_teacher_is_no_body():
    torch.manual_seed(0)
    model = Distilled()
    model.random.requires_grad_(False)
    optimizer = torch.optim.Adam(model.told.parameters(), lr=0.01)
    loader = DataLoader(signs(), batch_size=32, shuffle=True)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for x, _ in loader:
            optimizer.zero_grad()
            F.mse_loss(*model(x)).backward()
            optimizer.step()
        finding = inspector.check("trainable_parameters")
    assert finding.severity == "ok", finding.message
