"""Targets that hold a number for what was not measured."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.data.marks import far_number
from tests.trainings import FEATURES, Case, assert_equal, state_of

ITEMS = 320


def measured(columns=1, *, spread=1.0):
    """Inputs, and numbers that follow from them, [items, columns]."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ITEMS, FEATURES, generator=generator)
    weights = torch.randn(FEATURES, columns, generator=generator) / FEATURES**0.5
    return inputs, spread * torch.tanh(inputs @ weights)


def marked(targets, value, share=0.08):
    lost = torch.rand(targets.shape, generator=torch.Generator().manual_seed(1)) < share
    return torch.where(lost, torch.tensor(value), targets)


def case(inputs, targets, *, lr=0.01, loss_fn=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, targets.shape[1]))
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=lr), loss_fn or nn.MSELoss(), loader)


def several(value):
    inputs, targets = measured(3)
    return inputs, torch.cat([marked(targets[:, :2], value), targets[:, 2:]], 1)


def standardized(targets):
    return (targets - targets.mean(0)) / targets.std(0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: (measured()[0], marked(measured()[1], 99.0)), "of the targets are 99, far from all others. It seems"),
        (lambda: (measured()[0], marked((3 + 2 * measured()[1]).round(), 97.0)), "of the targets are 97"),
        (lambda: (measured()[0], standardized(marked(measured()[1], -9999.0))), "of the targets are -"),
        (
            lambda: several(-999.0),
            "of the targets in column 0 are -999, far from all others, and 1 more of their columns",
        ),
    ],
    ids=["a number", "answers on a scale", "standardized with them", "some columns"],
)
def test_what_was_not_measured_and_is_learned_is_an_error(watched, make, said):
    made = case(*make())
    inspector = watched(made, lambda c: c.run(12))
    before = state_of(made)
    finding = inspector.check("missing_values")
    assert (finding.severity, finding.basis) == ("error", "experiment"), finding.message
    assert said in finding.message
    assert "known = ~torch.isclose(y, torch.tensor(" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert_equal(before, state_of(made))


def outliers():
    inputs, targets = measured()
    targets[::40] *= torch.linspace(50, 400, len(targets[::40]))[:, None]
    return inputs, targets


def predictable():
    """Far away, but for a reason that the inputs tell."""
    inputs, targets = measured(spread=0.1)
    return inputs, torch.where(inputs[:, :1] > 1.0, torch.tensor(30.0), targets) / 30


def rewards():
    inputs, targets = measured()
    return inputs, (targets > 0.85).float() * 10


@pytest.mark.parametrize("make", [measured, outliers, rewards], ids=["measured", "outliers", "rewards"])
def test_targets_that_are_what_they_are_pass(watched, make):
    finding = watched(case(*make()), lambda c: c.run(12)).check("missing_values")
    assert finding.severity == "ok", finding.message


def test_a_far_number_that_is_learned_is_a_remark(watched):
    finding = watched(case(*predictable()), lambda c: c.run(30)).check("missing_values")
    assert finding.severity == "info", finding.message
    assert finding.message.endswith("Does it stand for a missing one?")


def test_numbers_that_the_loss_leaves_out_are_not_its_targets(watched):
    inputs, targets = measured()

    def known_only(prediction, target):
        known = target > -900
        return nn.functional.mse_loss(prediction[known], target[known])

    made = case(inputs, marked(targets, -999.0), loss_fn=known_only)
    assert not watched(made, lambda c: c.run(12)).check("missing_values").raised


class Maps(nn.Module):
    """Each place of a picture gets a number."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("value", [-99.0, None])
def test_all_places_of_a_map_are_of_one_kind(watched, value):
    pictures = torch.randn(96, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    depth = nn.functional.avg_pool2d(pictures, 3, 1, 1) * 3
    data = TensorDataset(pictures, depth if value is None else marked(depth, value, 0.05))
    model = Maps()
    loader = DataLoader(data, batch_size=16, shuffle=True)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.MSELoss(), loader)
    finding = watched(made, lambda c: c.run(15)).check("missing_values")
    assert finding.severity == ("ok" if value is None else "error"), finding.message
    if value is not None:
        assert "of the targets are -99" in finding.message


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (torch.cat([torch.arange(60.0) % 5, torch.full((6,), 99.0)]), 99.0),
        (torch.cat([torch.arange(60.0) % 5, torch.full((2,), 99.0)]), None),
        (torch.cat([torch.arange(60.0) % 2, torch.full((6,), 99.0)]), None),
        (torch.cat([torch.arange(60.0), torch.full((6,), 99.0)]), None),
        (torch.full((60,), 7.0), None),
    ],
    ids=["far", "too seldom", "two answers", "near", "one number"],
)
def test_which_numbers_are_far_from_all_others(values, found):
    number = far_number(values, measured=4)
    assert (None if number is None else number.value) == found
