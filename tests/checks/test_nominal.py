"""Names that are numbers, predicted as amounts; and amounts that are whole numbers, which are left alone."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.judging.nominal import Apart
from tests.trainings import Case, assert_equal, state_of

ITEMS = 800


def clusters(profiles, spread):
    label = torch.randint(0, len(profiles), (ITEMS,))
    return profiles[label] + spread * torch.randn(ITEMS, profiles.shape[1]), label


def varieties():
    torch.manual_seed(2)
    return clusters(torch.randn(8, 10), 0.7)


def along_a_line():
    return clusters(torch.arange(5.0)[:, None] * torch.randn(10), 0.7)


def bins():
    inputs = torch.randn(ITEMS, 10)
    return inputs, (inputs @ torch.randn(10) * 0.7 + 3).round().clamp(0, 6).long()


def whole_part():
    inputs = 5 * torch.rand(ITEMS, 3)
    return inputs, inputs[:, 0].floor().long()


def ratings():
    inputs, exact = bins()
    return inputs, (exact + 0.8 * torch.randn(ITEMS)).round().clamp(1, 5).long()


def numbers():
    inputs = torch.randn(ITEMS, 10)
    return inputs, inputs[:, 0]


class OneColumn(nn.Sequential):
    def forward(self, x):
        return super().forward(x).squeeze(1)


class Distance(nn.MSELoss):
    def forward(self, given, wanted):
        return super().forward(given, wanted.float())


def case_of(make):
    torch.manual_seed(0)
    inputs, target = make()
    model = OneColumn(nn.Linear(inputs.shape[1], 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    loader = DataLoader(TensorDataset(inputs, target), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=3e-3), Distance(), loader)


def test_varieties_are_no_amounts(watched):
    finding = watched(case_of(varieties), lambda case: case.run(10)).check("loss_match")
    assert finding.severity in ("warning", "error"), finding.message
    assert "numbers of classes, and F.mse_loss takes them for amounts" in finding.message
    assert finding.evidence["right"] - finding.evidence["rounded"] > 0.25
    assert finding.basis == "experiment"
    assert "cross_entropy" in finding.remedy.code


@pytest.mark.parametrize("make", [along_a_line, bins, whole_part, ratings, numbers])
def test_amounts_are_left_alone(watched, make):
    finding = watched(case_of(make), lambda case: case.run(10)).check("loss_match")
    assert finding.severity == "ok", finding.message


def test_nothing_of_the_training_is_touched(watched):
    case = case_of(varieties)
    inspector = watched(case, lambda case: case.run(5))
    before = state_of(case)
    inspector.check("loss_match")
    assert_equal(before, state_of(case))


@pytest.mark.parametrize(("epochs", "options"), [(2, {}), (10, {"seconds": 0})], ids=["too early", "no experiments"])
def test_without_a_ground_nothing_is_said(watched, epochs, options):
    finding = watched(case_of(varieties), lambda case: case.run(epochs)).check("loss_match", **options)
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize(
    ("apart", "proven"),
    [
        (Apart(right=0.96, rounded=0.5, classifier=0.94, regression=0.86, network=0.86), True),
        (Apart(right=0.96, rounded=0.8, classifier=0.94, regression=0.86, network=0.86), False),
        (Apart(right=0.6, rounded=0.2, classifier=0.94, regression=0.86, network=0.86), False),
        (Apart(right=0.83, rounded=0.5, classifier=0.92, regression=0.95, network=0.8), False),
        (Apart(right=1.0, rounded=1.0, classifier=1.0, regression=1.0, network=1.0), False),
        (Apart(right=1.0, rounded=0.0, classifier=1.0, regression=float("nan"), network=float("nan")), False),
    ],
)
def test_rule(apart, proven):
    assert apart.proven == proven
