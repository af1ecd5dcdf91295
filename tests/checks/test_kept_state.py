"""retained_state: what a network of the user's own keeps in its attributes from batch to batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni

X = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
Y = (X @ torch.randn(8, 3, generator=torch.Generator().manual_seed(1))).argmax(1)


class Accumulator(nn.Module):
    """Adds up what it sees in several looks at its input, and goes on from `charge`."""

    def __init__(self, *, fresh):
        super().__init__()
        self.fresh, self.charge = fresh, None
        self.hidden, self.out = nn.Linear(8, 24), nn.Linear(24, 3)

    def forward(self, x):
        if self.fresh or self.charge is None or len(self.charge) != len(x):
            self.charge = torch.zeros(len(x), 3)
        charge = self.charge
        for _ in range(3):
            charge = 0.97 * charge + self.out(torch.tanh(self.hidden(x)))
        self.charge = charge.detach()
        return charge


class Centred(nn.Module):
    """Takes a running mean off its input, by hand."""

    def __init__(self):
        super().__init__()
        self.mean = torch.zeros(8)
        self.layers = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 3))

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.layers(x - self.mean)


class Remembering(nn.Module):
    """Keeps its last features for a plot."""

    def __init__(self):
        super().__init__()
        self.features, self.calls = None, 0
        self.hidden, self.out = nn.Linear(8, 24), nn.Linear(24, 3)

    def forward(self, x):
        self.features = self.hidden(x).relu()
        self.calls += 1
        return self.out(self.features)


class Lazy(Accumulator):
    """The same, of an attribute that is not there before the first batch."""

    def __init__(self):
        super().__init__(fresh=False)
        del self.charge

    def forward(self, x):
        if not hasattr(self, "charge"):
            self.charge = torch.zeros(len(x), 3)
        return super().forward(x)


def finding_for(model, *, shuffle=True, epochs=8, items=400):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X[:items], Y[:items]), batch_size=20, shuffle=shuffle)
    with nni.watch(model, optimizer, F.cross_entropy, train_loader=loader, show=False) as inspector:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    return inspector.check("retained_state", seconds=120)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_state_in_an_attribute_is_an_error_with_what_beginning_anew_gains(shuffle):
    finding = finding_for(Accumulator(fresh=False), shuffle=shuffle)
    assert finding.severity == "error"
    assert "what the network keeps in charge goes from one batch into the next one" in finding.message
    assert finding.where == "charge"
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped
    assert "self.charge = ..." in finding.remedy.code


@pytest.mark.parametrize(
    "model", [Accumulator(fresh=True), Centred(), Remembering()], ids=lambda one: type(one).__name__
)
def test_what_begins_anew_does_no_harm_or_is_not_read_is_none(model):
    assert finding_for(model).severity == "ok"


def test_an_attribute_that_the_first_batch_makes_is_found_too():
    finding = finding_for(Lazy())
    assert finding.severity == "error"
    assert finding.where == "charge"


def test_a_single_batch_has_none_before_it():
    assert finding_for(Accumulator(fresh=False), items=20, epochs=40).severity == "ok"


def test_batches_that_are_learned_in_their_order_are_left_alone(monkeypatch):
    monkeypatch.setattr("nn_inspector.checks.loop.retained_state._learned_little", lambda subject: False)
    assert finding_for(Accumulator(fresh=False), shuffle=False).severity == "ok"
