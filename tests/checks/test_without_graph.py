"""Parts of a loss that come without a gradient though they are made of what is trained."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import assert_equal


def reparametrized(mean, spread):
    return mean + spread * torch.randn_like(spread)


def sampled(mean, spread):
    return Normal(mean, spread).sample()


def named(mean, spread):
    return torch.normal(mean=mean, std=spread)


def of_one_spread(mean, spread):
    return torch.normal(mean, 0.3)


def resampled(mean, spread):
    return Normal(mean, spread).rsample()


class Coder(nn.Module):
    """A variational autoencoder of twelve kinds of vectors."""

    def __init__(self, draw):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16))
        self.draw = draw

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, 1)
        output = self.decoder(self.draw(mean, (0.5 * log_variance).exp()))
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        return (output - x).square().sum(1).mean() + 0.1 * divergence


class Distilled(nn.Module):
    """A student that is to answer as its teacher does, and to know a few labels."""

    def __init__(self, where):
        super().__init__()
        torch.manual_seed(0)
        self.teacher, self.student = nn.Linear(16, 5), nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5))
        self.where = where

    def soft(self, student, teacher):
        return F.kl_div(student.log_softmax(1), (4 * teacher).softmax(1), reduction="batchmean")

    def forward(self, x):
        student = self.student(x)
        with torch.no_grad():
            teacher = self.teacher(x)
            inside = self.soft(student, teacher)
        if self.where == "weighs":
            return self.soft(student, teacher) * (1 + inside)
        soft = inside if self.where == "inside" else self.soft(student, teacher)
        return soft + 0.01 * student.square().mean()


def finding_of(model, *, epochs=15, rate=5e-3):
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(0, 12, (384,), generator=generator)
    x = 2 * torch.randn(12, 16, generator=generator)[kinds] + 0.1 * torch.randn(384, 16, generator=generator)
    loader = DataLoader(TensorDataset(x), 32, shuffle=True)
    own = model.student if isinstance(model, Distilled) else model
    optimizer = torch.optim.Adam(own.parameters(), lr=rate)

    def train():
        for _ in range(epochs):
            for (batch,) in loader:
                loss = model(batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = inspector.check("gradient_flow", seconds=60.0)
        assert_equal(before, dict(model.state_dict()))
    return found


@pytest.mark.parametrize("draw", [torch.normal, sampled, named, of_one_spread])
def test_what_is_drawn_without_a_gradient_is_an_error(draw):
    finding = finding_of(Coder(draw))
    assert finding.severity == "error", finding.message
    assert "drawn at random with torch.normal or sample()" in finding.message
    assert finding.evidence["with_gradient"] < 0.5 * finding.evidence["without"]
    names = {"torch": torch, "mean": torch.zeros(3), "std": torch.ones(3)}
    exec(finding.remedy.code, names)
    assert names["z"].shape == (3,)


def test_what_is_judged_without_a_gradient_is_an_error():
    finding = finding_of(Distilled("inside"))
    assert finding.severity == "error", finding.message
    assert "computed within no_grad(), from what is trained" in finding.message
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    "model",
    [
        lambda: Coder(reparametrized),
        lambda: Coder(resampled),
        lambda: Distilled("outside"),
        lambda: Distilled("weighs"),
    ],
    ids=["reparametrized", "rsample", "a teacher without a gradient", "a weight without a gradient"],
)
def test_what_keeps_its_gradient_passes(model):
    finding = finding_of(model(), epochs=4)
    assert not finding.raised, finding.message
