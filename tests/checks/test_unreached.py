import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import assert_equal


class Codes(nn.Module):
    """An autoencoder whose code is taken from a book."""

    def __init__(self, passed_on):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.book = nn.Embedding(32, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16))
        self.passed_on = passed_on
        with torch.no_grad():
            self.encoder[2].weight.mul_(
                0.1
            )  # all items begin with the same code, and nothing tells the encoder to change that

    def forward(self, x):
        given = self.encoder(x)
        chosen = self.book(torch.cdist(given, self.book.weight).argmin(1))
        added = F.mse_loss(chosen, given.detach()) + 0.25 * F.mse_loss(given, chosen.detach())
        return self.decoder(self.passed_on(given, chosen)), added


def cut(given, chosen):
    return chosen


def straight_through(given, chosen):
    return given + (chosen - given).detach()


def finding_of(passed_on, *, rate=3e-3, epochs=15):
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(0, 12, (384,), generator=generator)
    x = 2 * torch.randn(12, 16, generator=generator)[kinds] + 0.1 * torch.randn(384, 16, generator=generator)
    loader = DataLoader(TensorDataset(x), 32, shuffle=True)
    model = Codes(passed_on)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def train():
        for _ in range(epochs):
            for (batch,) in loader:
                output, added = model(batch)
                loss = F.mse_loss(output, batch) + added
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = inspector.check("gradient_flow", seconds=60.0)
        assert_equal(before, dict(model.state_dict()))
    return found


def test_an_encoder_that_the_loss_of_the_answers_does_not_reach_is_an_error():
    finding = finding_of(cut)
    assert finding.severity == "error", finding.message
    assert "its gradient does not reach encoder.0.weight" in finding.message
    assert "book" not in finding.message
    assert "decoder" not in finding.message
    assert finding.basis == "experiment"
    given, distances, codebook = torch.randn(3, 4, requires_grad=True), torch.rand(3, 5), nn.Embedding(5, 4)
    names = {"given": given, "distances": distances, "codebook": codebook}
    exec(finding.remedy.code, names)
    assert torch.allclose(names["chosen"], codebook(distances.argmin(1)))
    names["chosen"].sum().backward()
    assert torch.equal(given.grad, torch.ones(3, 4))


def test_a_gradient_that_passes_straight_through_is_fine():
    assert finding_of(straight_through).severity == "ok"


def test_another_fault_is_not_blamed_on_it():
    """The gradient reaches all, and nothing is learned for another reason."""
    finding = finding_of(straight_through, rate=1e-7)
    assert finding.severity == "ok", finding.message


class Towers(nn.Module):
    """Two networks side by side, one of them with dropout: the answers of one do not depend on the other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.policy = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.value = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))

    def forward(self, x):
        return self.policy(x), self.value(x)


class LookedAt(nn.Module):
    """An autoencoder, and a head that looks at its code on purpose without changing it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder, self.probe = nn.Linear(16, 6), nn.Linear(6, 16), nn.Linear(6, 4)

    def forward(self, x):
        z = self.encoder(x)
        return self.decoder(z), self.probe(z.detach())


@pytest.mark.parametrize("make", [Towers, LookedAt])
def test_a_judged_head_that_fails_beside_something_else_is_not_blamed_on_that(make):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(384, 16, generator=generator)
    noise = torch.randn(384, 1, generator=generator)
    kinds = torch.randint(0, 4, (384,), generator=generator)
    loader = DataLoader(TensorDataset(x, noise, kinds), 32, shuffle=True)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train():
        for _ in range(8):
            for x, noise, kinds in loader:
                one, other = model(x)
                if make is Towers:
                    loss = F.mse_loss(other, noise) - (one.log_softmax(1)[:, 0] * noise[:, 0]).mean()
                else:
                    loss = F.cross_entropy(other, kinds) + (one - x).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        finding = inspector.check("gradient_flow", seconds=60.0)
    assert not finding.raised, finding.message


class Actor(nn.Module):
    """A head on a body that it does not train, on purpose: the other head does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.policy, self.value = nn.Linear(16, 32), nn.Linear(32, 4), nn.Linear(32, 1)

    def forward(self, x):
        h = self.body(x).relu()
        return self.policy(h), self.value(h.detach())


@pytest.mark.parametrize("judged", ["both", "learned"])
def test_a_head_on_a_body_that_others_train_is_fine(judged):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(384, 16, generator=generator)
    y = (x[:, :4] * 3).argmax(1)
    loader = DataLoader(TensorDataset(x, y, x[:, :1]), 32, shuffle=True)
    model = Actor()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train():
        for _ in range(15):
            for x, y, v in loader:
                policy, value = model(x)
                loss = F.cross_entropy(policy, y)
                loss = loss + (F.mse_loss(value, v) if judged == "both" else (value - v).square().mean())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        assert not inspector.check("gradient_flow", seconds=60.0).raised
