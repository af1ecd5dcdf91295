"""Normalizations that were written by hand and go wrong in evaluation mode."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.errors import ExperimentError
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, state_of


class ByHand(nn.Module):
    """Batch normalization as people write it; `remembered` is what it keeps of a variance."""

    def __init__(self, features, remembered=lambda variance: variance):
        super().__init__()
        self.remembered = remembered
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))

    def forward(self, x):
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = x.mean(0), x.var(0, unbiased=False)
            with torch.no_grad():
                self.mean.lerp_(mean, 0.1)
                self.variance.lerp_(self.remembered(variance), 0.1)
        return self.weight * (x - mean) / (variance + 1e-5).sqrt() + self.bias


class Counting(nn.Module):
    """Keeps count of the batches and changes nothing."""

    def __init__(self):
        super().__init__()
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x):
        self.batches += 1
        return x


def case(*layers):
    torch.manual_seed(0)
    model = nn.Sequential(*layers, nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    data = blobs(spread=1.0)
    data.tensors[0].mul_(torch.logspace(-2, 2, FEATURES))  # so that it counts
    loader = DataLoader(data, batch_size=16, shuffle=True, drop_last=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)


def test_a_variance_that_is_not_remembered_is_an_error(watched):
    made = case(ByHand(FEATURES, torch.ones_like))
    inspector = watched(made, lambda c: c.run(20))
    before = state_of(made)
    finding = inspector.check("normalization")
    assert finding.severity == "error", finding.message
    assert "with 0 alone in training mode. What ByHand remembers is not what it uses in training." in finding.message
    assert finding.evidence["alone_in_training_mode"] < finding.evidence["evaluation_mode"]
    assert (finding.where, finding.basis) == ("0", "experiment")
    assert_equal(before, state_of(made))


@pytest.mark.parametrize(
    "layers", [lambda: [ByHand(FEATURES)], lambda: [Counting()], lambda: [nn.BatchNorm1d(FEATURES)]]
)
def test_what_is_remembered_as_it_is_used_passes(watched, layers):
    finding = watched(case(*layers()), lambda c: c.run(20)).check("normalization")
    assert not finding.raised, finding.message


def test_it_is_not_blamed_for_a_training_that_failed_otherwise(watched):
    made = case(ByHand(FEATURES, torch.ones_like))
    made.optimizer.param_groups[0]["lr"] = 1e-7
    assert not watched(made, lambda c: c.run(20)).check("normalization").raised


def test_early_in_the_training_nothing_is_said(watched):
    assert not watched(case(ByHand(FEATURES, torch.ones_like)), lambda c: c.run(1)).check("normalization").raised


def test_a_training_that_cannot_be_copied_raises_nothing(watched, monkeypatch):
    def fail(*args):
        raise ExperimentError("It cannot be copied.")

    inspector = watched(case(ByHand(FEATURES, torch.ones_like)), lambda c: c.run(20))
    monkeypatch.setattr("nn_inspector.checks.model.own_statistics._remembering", fail)
    assert not inspector.check("normalization").raised
