import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def case(*layers, rate=0.05):
    torch.manual_seed(0)
    model = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


def first(*, bias=True):
    return nn.Linear(FEATURES, 16, bias=bias)


def last():
    return nn.Linear(16, CLASSES)


class Shuffled(nn.Module):
    """Its modules stand in another order than they run in."""

    def __init__(self):
        super().__init__()
        self.last, self.drop, self.norm, self.first = last(), nn.Dropout(0.3), nn.BatchNorm1d(16), first(bias=False)

    def forward(self, x):
        return self.last(F.relu(self.norm(self.drop(self.first(x)))))


@pytest.mark.parametrize(
    ("layers", "said", "where"),
    [
        ([first(), nn.BatchNorm1d(16), nn.ReLU(), last()], "0.bias stands before a batch normalization", "0.bias"),
        ([first(bias=False), nn.Dropout(0.2), nn.BatchNorm1d(16), last()], "1, a dropout, stands right before", "1"),
        ([first(), nn.ReLU(), nn.Sigmoid(), last()], "sigmoid works on what relu returned", "2"),
        ([first(), nn.ReLU(), last(), nn.Dropout(0.1)], "3, a dropout, stands behind the last layer", "3"),
        ([Shuffled()], "drop, a dropout, stands right before a batch normalization", "drop"),
    ],
)
def test_what_is_out_of_order_is_a_remark(watched, layers, said, where):
    finding = watched(case(*layers)).check("layer_order")
    assert finding.severity == "info", finding.message
    assert said in finding.message
    assert finding.where == where
    assert "activation, dropout" in finding.remedy.text


@pytest.mark.parametrize(
    "layers",
    [
        [mlp()],
        [nn.Linear(FEATURES, CLASSES)],
        [first(bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), last()],
        [first(), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(0.3), last()],
        [first(), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.0), last(), nn.Dropout(0.0)],
        [nn.TransformerEncoderLayer(FEATURES, 2, 16, batch_first=True), nn.Linear(FEATURES, CLASSES)],
    ],
)
def test_usual_orders_pass(watched, layers):
    finding = watched(case(*layers)).check("layer_order")
    assert finding.severity == "ok", finding.message


def test_dropout_on_the_answers_is_raised_if_it_keeps_them_from_being_learned(watched):
    torch.manual_seed(0)
    inputs = torch.randn(320, FEATURES)
    data = TensorDataset(inputs, 5 + (inputs[:, :1] * inputs[:, 1:2]).tanh())
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 1), nn.Dropout(0.5))
    loader = DataLoader(data, batch_size=16, shuffle=True)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.MSELoss(), loader)
    finding = watched(made, lambda c: c.run(15)).check("layer_order")
    assert finding.raised, finding.message
    assert finding.where == "3"
    assert "stands behind the last layer" in finding.message
    assert finding.basis == "experiment"


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("layer_order", seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check("layer_order").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = case(first(), nn.ReLU(), last(), nn.Dropout(0.5))
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("layer_order")
    assert_equal(before, state_of(made))


@pytest.mark.parametrize(
    ("share", "left", "severity"), [(0.4, 0.25, "warning"), (0.4, 0.05, "info"), (0.1, 0.25, "info")]
)
def test_much_dropout_on_the_answers_is_a_warning_unless_all_was_learned(watched, monkeypatch, share, left, severity):
    monkeypatch.setattr("nn_inspector.checks.model.layer_order.race", lambda *_, **__: None)
    monkeypatch.setattr("nn_inspector.checks.race.left_now", lambda subject: ("classes", left))
    finding = watched(case(first(), nn.ReLU(), last(), nn.Dropout(share))).check("layer_order")
    assert finding.severity == severity, finding.message
    assert ("sets 40% of what the network answers to zero" in finding.message) == (severity == "warning")
