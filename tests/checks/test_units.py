"""dead_units and saturation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.checks import Subject
from nn_inspector.checks.train.units_now import units_now
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of

EACH = {"dead_units": nn.ReLU, "saturation": nn.Tanh}


def case(model, rate=1e-4, **options):
    loader = DataLoader(blobs(**options), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


def shut(model, bias=-60.0, layer=0):
    nn.init.constant_(model[layer].bias, bias)
    return model


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first, self.last = nn.Linear(FEATURES, 16), nn.Linear(16, CLASSES)
        nn.init.constant_(self.first.bias, -60.0)

    def forward(self, x):
        return self.last(self.function(self.first(x)))


class Convolution(nn.Sequential):
    def __init__(self, activation):
        torch.manual_seed(0)
        super().__init__(
            nn.Unflatten(1, (1, FEATURES)), nn.Conv1d(1, 8, 3), activation(), nn.Flatten(), nn.Linear(48, CLASSES)
        )
        nn.init.constant_(self[1].bias, -60.0)


@pytest.mark.parametrize(
    ("check", "make", "where"),
    [
        ("dead_units", lambda: shut(mlp()), "1"),
        ("dead_units", lambda: Functional(F.relu), "first"),
        ("dead_units", lambda: Functional(torch.relu), "first"),
        ("dead_units", lambda: Convolution(nn.ReLU), "2"),
        ("saturation", lambda: shut(mlp(activation=nn.Tanh)), "1"),
        ("saturation", lambda: shut(mlp(activation=nn.Sigmoid)), "1"),
        ("saturation", lambda: Functional(torch.tanh), "first"),
        ("saturation", lambda: Convolution(nn.Sigmoid), "2"),
    ],
)
def test_layers_that_let_nothing_through_are_raised(watched, check, make, where):
    finding = watched(case(make()), lambda c: c.run(12)).check(check)
    assert finding.raised, finding.message
    assert finding.where == where
    assert "100%" in finding.message
    assert finding.remedy.code
    assert list(finding.evidence.values()) == [1.0]


def test_a_remedy_that_helps_is_a_proof(watched):
    finding = watched(case(shut(mlp(), -6.0), rate=0.2, spread=0.4), lambda c: c.run(12)).check("dead_units")
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert "The remedy is leaky ReLU" in finding.message
    assert finding.remedy.tried.helped


@pytest.mark.parametrize("check", EACH)
@pytest.mark.parametrize("kind", ["usual", "other functions", "no hidden layer", "output"])
def test_units_at_work_pass(watched, check, kind):
    torch.manual_seed(0)
    model = {
        "usual": lambda: mlp(activation=EACH[check]),
        "other functions": lambda: mlp(activation=nn.SiLU),
        "no hidden layer": lambda: nn.Linear(FEATURES, CLASSES),
        "output": lambda: shut(nn.Sequential(nn.Linear(FEATURES, CLASSES), EACH[check]())),
    }[kind]()
    finding = watched(case(model, 0.05), lambda c: c.run(12)).check(check)
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize("check", EACH)
def test_a_training_that_learns_is_told_only(watched, check):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), EACH[check](), nn.Linear(32, CLASSES))
    with torch.no_grad():
        model[0].bias[:26] -= 60.0
    finding = watched(case(model, 0.1, spread=0.4), lambda c: c.run(20)).check(check)
    assert finding.severity == "info", finding.message
    assert "does not seem to suffer" in finding.message
    assert "8" in finding.message


@pytest.mark.parametrize("check", EACH)
def test_without_a_copy_the_run_is_asked(watched, check):
    model = shut(mlp(activation=EACH[check]))
    finding = watched(case(model), lambda c: c.run(12)).check(check, seconds=0)
    assert finding.severity == "warning", finding.message
    assert finding.where == "1"


@pytest.mark.parametrize("check", EACH)
def test_where_nothing_can_be_seen_it_is_skipped(watched, untrained, check):
    assert watched(classifier()).check(check, seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check(check).severity == "skipped"
    finding = watched(case(mlp(), items=16)).check(check)
    assert finding.severity == "skipped"
    assert "fewer than 64 items" in finding.message


def test_gates_may_be_shut(watched):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.body, self.last = nn.Linear(FEATURES, 8), nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)
            nn.init.constant_(self.gate.bias, -60.0)

        def forward(self, x):
            return self.last(torch.sigmoid(self.gate(x)) * torch.relu(self.body(x)))

    inspector = watched(case(Gated()))
    layers = units_now(Subject(inspector.training, inspector.run, 60.0))
    assert [layer.function for layer in layers] == []


@pytest.mark.parametrize("check", EACH)
def test_the_training_is_left_as_it_was(watched, check):
    made = case(shut(mlp(activation=EACH[check])))
    inspector = watched(made, lambda c: c.run(10))
    before = state_of(made)
    inspector.check(check)
    assert_equal(before, state_of(made))
