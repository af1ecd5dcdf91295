"""A network without any bias is named where the task asks for an answer other than nothing at the origin."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.model.without_bias import layers_without_bias
from tests.trainings import Case, assert_equal, state_of


def points():
    return 2 * torch.randn(480, 2, generator=torch.Generator().manual_seed(0))


def inside(x):
    return (x.norm(dim=1) < 2.2).long()


def upper(x):
    return (x[:, 0] + 0.5 * x[:, 1].abs() > 0).long()


def net(*, bias=False, last=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 32, bias=bias), nn.ReLU(), nn.Linear(32, 32, bias=bias), nn.ReLU(), nn.Linear(32, 2, bias=last)
    )


def case_of(rule, model, extra=None):
    x = points()
    y = rule(x)
    x = x if extra is None else torch.cat([x, torch.full((len(x), 1), extra)], 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.005), nn.CrossEntropyLoss(), loader)


def test_a_disc_cannot_be_told_from_what_is_around_it(watched):
    finding = watched(case_of(inside, net()), lambda case: case.run(10)).check("capacity")
    assert finding.severity == "error", finding.message
    assert "none of its 3 layers has a bias" in finding.message
    assert finding.remedy.tried.helped
    assert (finding.where, finding.basis) == ("0", "experiment")


def with_a_column_of_ones():
    model = net()
    model[0] = nn.Linear(3, 32, bias=False)
    return case_of(inside, model, extra=1.0)


def test_everything_is_as_it_was_afterwards(watched):
    case = case_of(inside, net())
    inspector = watched(case, lambda case: case.run(10))
    before = state_of(case)
    inspector.check("capacity")
    assert_equal(before, state_of(case))
    assert all(layer.bias is None for layer in case.model if isinstance(layer, nn.Linear))


@pytest.mark.parametrize(
    "make",
    [
        lambda: case_of(upper, net()),
        lambda: case_of(inside, net(bias=True)),
        lambda: case_of(inside, net(last=True)),
        with_a_column_of_ones,
    ],
    ids=["rays are enough", "with biases", "one bias", "a column of ones"],
)
def test_what_can_do_without_is_left_alone(watched, make):
    finding = watched(make(), lambda case: case.run(15)).check("capacity")
    assert finding.severity == "ok", finding.message


def test_without_experiments_nothing_is_said(watched):
    finding = watched(case_of(inside, net()), lambda case: case.run(5)).check("capacity", seconds=0)
    assert finding.severity == "skipped"


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (nn.Linear(2, 1, bias=False), [""]),
        (nn.Sequential(nn.Conv1d(1, 2, 3, bias=False), nn.ReLU()), ["0"]),
        (nn.Sequential(nn.Conv1d(1, 2, 3, bias=False), nn.BatchNorm1d(2)), []),
        (nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 1, bias=False)), []),
        (nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1)), []),
        (nn.ReLU(), []),
    ],
)
def test_only_where_there_is_nothing_but_weights(model, layers):
    assert layers_without_bias(model) == layers
