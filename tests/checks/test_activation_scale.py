import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.init.activation_scale import even_out, signals
from nn_inspector.experiments import isolated, take_apart
from nn_inspector.training import Training
from tests.scene_data import regression
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def deep(layers=6, *, width=24, activation=nn.ReLU, norm=None, spread=None, seed=0):
    torch.manual_seed(seed)
    parts = []
    for inside in (FEATURES, *[width] * (layers - 1)):
        parts += [nn.Linear(inside, width), *([norm(width)] if norm else []), activation()]
    model = nn.Sequential(*parts, nn.Linear(width, CLASSES))
    for layer in model:
        if spread and isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=spread)
    return model


def case(model, rate=0.02):
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9), nn.CrossEntropyLoss(), loader)


def numbers(model):
    """A task of which a network that starts far away learns nothing in so few steps."""
    inputs, targets, _, _ = regression(0, items=300, features=FEATURES)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)
    model = nn.Sequential(*model[:-1], nn.Linear(24, 1))
    return Case(model, torch.optim.Adam(model.parameters(), lr=1e-3), nn.MSELoss(), loader)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(FEATURES, 16)
        self.branches = nn.ModuleList(nn.Linear(16, 16) for _ in range(8))
        self.last = nn.Linear(16, CLASSES)
        nn.init.zeros_(self.branches[0].weight)

    def forward(self, x):
        x = self.first(x)
        for branch in self.branches:
            x = x + branch(torch.relu(x))
        return self.last(x)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: case(deep(6, activation=nn.Sigmoid)), "The signal dies out"),
        (lambda: case(deep(4, spread=0.02)), "The signal dies out"),
        (lambda: numbers(deep(6, spread=1.0)), "The signal blows up"),
    ],
)
def test_a_signal_that_is_lost_is_raised(watched, make, said):
    finding = watched(make(), lambda c: c.run(15)).check("activation_scale")
    assert finding.severity in ("error", "warning"), finding.message
    assert finding.basis == "experiment"
    assert said in finding.message
    assert "the last hidden layer" in finding.message
    assert "kaiming_normal_" in finding.remedy.text
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(
    "make",
    [
        mlp,
        lambda: deep(4),
        lambda: deep(8, norm=nn.BatchNorm1d),
        lambda: deep(8, norm=nn.LayerNorm, spread=1.0),
        Residual,
        lambda: nn.Linear(FEATURES, CLASSES),
    ],
)
def test_a_signal_that_arrives_passes(watched, make):
    torch.manual_seed(0)
    finding = watched(case(make())).check("activation_scale")
    assert finding.severity == "ok", finding.message


def test_what_learns_anyway_is_a_remark(watched):
    made = case(deep(5, spread=0.9), 1e-3)
    made.optimizer = torch.optim.Adam(made.model.parameters(), lr=0.01)
    finding = watched(made, lambda c: c.run(30)).check("activation_scale")
    assert finding.severity in ("ok", "info"), finding.message


def test_layers_are_evened_out():
    made = case(deep(8, spread=0.01))
    batch = next(iter(made.train_loader))
    with isolated(Training(made.model, made.optimizer, made.loss_fn, train_loader=made.train_loader)) as copied:
        before = signals(take_apart(copied, batch))
        even_out(copied, batch)
        after = signals(take_apart(copied, batch))
    assert before[-1].spread < 1e-6
    assert all(0.5 < signal.spread < 2 for signal in after)
    assert [signal.name for signal in after] == [f"{index}.weight" for index in range(0, 16, 2)]


def test_images_are_evened_out_by_channel():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    data = TensorDataset(torch.randn(32, 1, 8, 8), torch.randint(0, 3, (32,)))
    loader = DataLoader(data, batch_size=16)
    training = Training(model, None, nn.CrossEntropyLoss(), train_loader=loader)
    with isolated(training) as copied:
        even_out(copied, next(iter(loader)))
        assert [round(one.spread, 1) for one in signals(take_apart(copied, next(iter(loader))))] == [1.0, 1.0]


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("activation_scale", seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check("activation_scale").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = case(deep(6, activation=nn.Sigmoid))
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("activation_scale")
    assert_equal(before, state_of(made))


@pytest.mark.parametrize(("left", "severity"), [(0.9, "warning"), (0.2, "info")])
def test_where_nothing_could_be_tried_a_training_that_failed_is_warned(watched, monkeypatch, left, severity):
    monkeypatch.setattr("nn_inspector.checks.init.activation_scale.race", lambda *_, **__: None)
    monkeypatch.setattr("nn_inspector.checks.race.left_now", lambda subject: ("classes", left))
    finding = watched(case(deep(12, spread=0.01))).check("activation_scale")
    assert finding.severity == severity, finding.message
    assert "The signal dies out" in finding.message
    assert finding.basis == "statistics"
