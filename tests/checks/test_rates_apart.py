"""Parameter groups whose rates lie far apart."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.rates_apart import rates_apart
from nn_inspector.history import Run
from nn_inspector.training import Training
from tests.trainings import Case


def products(optimizer_of):
    """A task that the last layer cannot learn by itself."""
    torch.manual_seed(0)
    x = torch.randn(1200, 8)
    y = (x[:, 0] * x[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))
    return Case(model, optimizer_of(model), nn.CrossEntropyLoss(), DataLoader(TensorDataset(x, y), 32, shuffle=True))


def falling(factor):
    def make(model):
        layers = [model[4], model[2], model[0]]
        return torch.optim.Adam([{"params": one.parameters(), "lr": 5e-3 * factor**i} for i, one in enumerate(layers)])

    return make


def body_and_head(rate):
    def make(model):
        groups = [{"params": model[:4].parameters(), "lr": rate}, {"params": model[4].parameters()}]
        return torch.optim.SGD(groups, lr=0.2, momentum=0.9)

    return make


@pytest.mark.parametrize(
    ("optimizer_of", "found"),
    [
        (falling(0.01), (1, 3, "0.weight")),
        (falling(0.1), None),
        (body_and_head(1e-8), (1, 2, "0.weight")),
        (body_and_head(2e-3), None),
        (body_and_head(0.0), None),
        (lambda model: torch.optim.SGD(model.parameters(), lr=0.1), None),
    ],
)
def test_rates_that_lie_far_apart(optimizer_of, found):
    case = products(optimizer_of)
    apart = rates_apart(Subject(Training(case.model, case.optimizer), Run("rates", {}), 0.0))
    assert (None if apart is None else (apart.groups, apart.of, apart.where)) == found


@pytest.mark.parametrize("optimizer_of", [falling(1e-4), body_and_head(1e-8)])
def test_weights_that_stand_still_beside_others_are_named(watched, optimizer_of):
    finding = watched(products(optimizer_of), lambda c: c.run(12)).check("optimizer_settings")
    assert finding.severity in ("warning", "error"), finding.message
    assert finding.basis == "experiment"
    assert "0.weight has" in finding.message
    assert finding.where == "0.weight"


def test_a_body_that_hardly_moves_is_fine_where_the_head_learns(watched):
    case = products(body_and_head(1e-6))
    case.model.load_state_dict(learned().state_dict())
    nn.init.normal_(case.model[4].weight, std=0.1)
    assert watched(case, lambda c: c.run(12)).check("optimizer_settings").severity in ("ok", "info")


def learned():
    case = products(lambda model: torch.optim.Adam(model.parameters(), 5e-3))
    case.run(12)
    return case.model
