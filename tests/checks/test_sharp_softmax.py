"""A softmax within the model that gets scores out of proportion."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import Case


class Lookup(nn.Module):
    """Finds the entry that has a key, and says what stands there."""

    def __init__(self, temperature):
        super().__init__()
        self.keys, self.query = nn.Linear(9, 24), nn.Linear(6, 24)
        self.values, self.out = nn.Linear(9, 24), nn.Linear(24, 3)
        self.temperature = temperature

    def forward(self, x):
        entries, wanted = x[:, :54].reshape(-1, 6, 9), x[:, 54:]
        scores = torch.einsum("bik,bk->bi", self.keys(entries), self.query(wanted)) / self.temperature
        weights = scores.softmax(dim=1)
        return self.out((weights.unsqueeze(-1) * self.values(entries)).sum(1))


class Experts(nn.Module):
    """Several small networks, and a gate that weighs them."""

    def __init__(self, sharpness):
        super().__init__()
        self.gate = nn.Linear(60, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(60, 32), nn.ReLU(), nn.Linear(32, 3)) for _ in range(4))
        self.sharpness = sharpness

    def forward(self, x):
        weights = F.softmax(self.sharpness * self.gate(x), dim=-1)
        return (weights[..., None] * torch.stack([one(x) for one in self.experts], 1)).sum(1)


def lookups(model):
    torch.manual_seed(0)
    places = torch.stack([torch.randperm(6) for _ in range(1500)])
    held, wanted = torch.randint(0, 3, (1500, 6)), torch.randint(0, 6, (1500,))
    entries = torch.cat([F.one_hot(places, 6), F.one_hot(held, 3)], -1).flatten(1)
    x = torch.cat([entries, F.one_hot(wanted, 6)], 1).float()
    y = (held * (places == wanted[:, None])).sum(1)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss(), loader)


@pytest.mark.parametrize("temperature", [0.001, 3000.0])
def test_a_temperature_that_makes_it_choose_once_or_never_is_named(watched, temperature):
    torch.manual_seed(1)
    finding = watched(lookups(Lookup(temperature)), lambda c: c.run(14)).check("hidden_activation")
    assert finding.severity in ("warning", "error"), finding.message
    assert finding.basis == "experiment"
    assert ("one entry gets all" if temperature < 1 else "all entries get the same") in finding.message


@pytest.mark.parametrize(
    ("model", "odd"),
    [(Lookup(1.0), False), (Lookup(0.5), False), (Lookup(1e-3), True), (Experts(1.0), False), (Experts(500.0), True)],
)
def test_scores_out_of_proportion(watched, model, odd):
    inspector = watched(lookups(model), lambda c: c.run(1))
    finding = inspector.check("hidden_activation")
    assert ("is given scores" in finding.message) is odd
    assert odd or finding.severity == "ok"
