import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.model.sight import sight_of
from nn_inspector.checks.model.widening import hidden_layers, recurrent_layers, widen
from nn_inspector.experiments import isolated, take_apart
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def rings(items=400):
    """Which of four rings a point is on."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 2, (items,), generator=generator)
    angle = 6.28 * torch.rand(items, generator=generator)
    radius = 1.0 + label + 0.05 * torch.randn(items, generator=generator)
    return TensorDataset(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), label)


def stack(*widths):
    torch.manual_seed(0)
    layers = []
    for inside, outside in zip((2, *widths), (*widths, 2), strict=True):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def case(model, data=None, rate=0.01):
    loader = DataLoader(data or rings(), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.bottleneck, self.last = nn.Linear(2, 32), nn.Linear(32, 1), nn.Linear(1, 2)
        nn.init.constant_(self.bottleneck.bias, -4.0)

    def forward(self, x):
        return self.last(F.relu(self.bottleneck(F.relu(self.first(x)))))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.body, self.last = nn.Linear(FEATURES, 2), nn.Linear(FEATURES, 2), nn.Linear(2, CLASSES)

    def forward(self, x):
        return self.last(torch.sigmoid(self.gate(x)) * self.body(x))


@pytest.mark.parametrize(
    ("make", "where", "said"),
    [
        (lambda: stack(1, 1), "0", "only 1 unit, and 1 more have 4 or fewer"),
        (Functional, "bottleneck", "only 1 unit."),
    ],
)
def test_layers_that_let_too_little_through_are_raised(watched, make, where, said):
    finding = watched(case(make()), lambda c: c.run(25)).check("capacity")
    assert finding.severity == "error", finding.message
    assert finding.where == where
    assert said in finding.message
    assert "32 units" in finding.remedy.text
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


def test_a_network_without_a_hidden_layer_that_needs_one(watched):
    finding = watched(case(nn.Linear(2, 2)), lambda c: c.run(10)).check("capacity")
    assert finding.severity == "warning", finding.message
    assert "one layer only" in finding.message
    assert "hidden layer" in finding.remedy.text
    assert finding.evidence["hidden"] > 0.9


@pytest.mark.parametrize(
    ("make", "severity"),
    [
        (classifier, "ok"),
        (lambda: case(nn.Linear(FEATURES, CLASSES), blobs(), 0.05), "ok"),
        (lambda: case(mlp(hidden=4), blobs(), 0.05), "info"),
        (lambda: case(Gated(), blobs(), 0.05), "ok"),
        (lambda: case(nn.Sequential(nn.Flatten(), mlp()), blobs()), "ok"),
    ],
)
def test_what_is_large_enough_passes(watched, make, severity):
    torch.manual_seed(0)
    finding = watched(make(), lambda c: c.run(40)).check("capacity")
    assert finding.severity == severity, finding.message


def test_a_copy_is_made_wider_and_its_optimizer_follows():
    made = classifier()
    made.model = nn.Sequential(mlp(hidden=2), nn.ReLU(), nn.Linear(CLASSES, CLASSES))
    made.optimizer = torch.optim.Adam(made.model.parameters())
    batch = next(iter(made.train_loader))
    with isolated(Training(made.model, made.optimizer, made.loss_fn, train_loader=made.train_loader)) as copied:
        narrow = [layer for layer in hidden_layers(take_apart(copied, batch)) if layer.width == 2]
        widen(copied, narrow, 9)
        assert [tuple(p.shape) for p in copied.model.parameters()] == [(9, 8), (9,), (4, 9), (4,), (4, 4), (4,)]
        held = {id(p) for group in copied.optimizers[0].param_groups for p in group["params"]}
        assert held == {id(p) for p in copied.model.parameters()}
        copied.loss(batch).backward()
        copied.optimizers[0].step()


class Reader(nn.Module):
    """Says which of eight words stands in a row of them most often."""

    def __init__(self, kind, hidden, **options):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(8, 16)
        self.rnn = kind(16, hidden, batch_first=True, **options)
        self.last = nn.Linear(hidden * (1 + self.rnn.bidirectional), 8)

    def forward(self, x):
        return self.last(self.rnn(self.words(x))[0].mean(1))


def readings(items=400):
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 8, (items,), generator=generator)
    words = torch.randint(0, 8, (items, 6), generator=generator)
    words[:, :3] = label[:, None]
    return TensorDataset(words[:, torch.randperm(6, generator=generator)], label)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}])
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_recurrent_layer_can_be_made_wider(kind, options):
    made = case(Reader(kind, 1, **options), readings())
    training = Training(made.model, made.optimizer, made.loss_fn, train_loader=made.train_loader)
    with isolated(training) as copied:
        batch = next(iter(made.train_loader))
        layers = recurrent_layers(take_apart(copied, batch))
        assert [(layer.name, layer.width, layer.next) for layer in layers] == [("rnn", 1, ("last",))]
        widen(copied, layers, 32)
        assert copied.model.rnn.hidden_size == 32
        assert copied.model.rnn.num_layers == options.get("num_layers", 1)
        before = copied.loss(batch)
        before.backward()
        copied.optimizers[0].step()
        assert copied.loss(batch) < before


def test_a_narrow_recurrent_layer_is_raised(watched):
    inspector = watched(case(Reader(nn.GRU, 1), readings()), lambda c: c.run(12))
    found = inspector.check("capacity", seconds=60)
    assert found.severity in ("error", "warning"), found.message
    assert found.where == "rnn"
    assert found.remedy.code.startswith("torch.nn.GRU(16, 32, ")
    assert "only 1 unit" in found.message


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("capacity", seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check("capacity").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = case(stack(1, 1))
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("capacity")
    assert_equal(before, state_of(made))
    assert made.model[0].out_features == 1


class Clicks(nn.Module):
    """A stack of convolutions over 64 places, then the largest value of each."""

    def __init__(self, dilations):
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList(
            nn.Conv1d(c, 12, 3, padding=d, dilation=d) for c, d in zip((1, 12, 12, 12), dilations, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(12) for _ in dilations)
        self.last = nn.Linear(12, 2)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.relu(norm(conv(x)))
        return self.last(x.amax(2))


def clicks(items=320):
    """Two clicks 11 or 14 places apart."""
    generator = torch.Generator().manual_seed(0)
    x, label = 0.05 * torch.randn(items, 1, 64, generator=generator), torch.arange(items) % 2
    for item in range(items):
        start = int(torch.randint(8, 40, (1,), generator=generator))
        x[item, 0, start] += 1
        x[item, 0, start + 11 + 3 * int(label[item])] += 1
    return TensorDataset(x, label)


def test_convolutions_that_see_too_little_are_raised(watched):
    finding = watched(case(Clicks((1, 1, 1, 1)), clicks()), lambda c: c.run(15)).check("capacity", seconds=25.0)
    assert finding.severity == "error", finding.message
    assert "see 9 of 64 places at once" in finding.message
    assert "dilation" in finding.remedy.code
    assert finding.remedy.tried.helped


def test_convolutions_that_see_enough_pass(watched):
    inspector = watched(case(Clicks((1, 2, 4, 8)), clicks()), lambda c: c.run(15))
    before = {name: value.clone() for name, value in inspector.training.model.state_dict().items()}
    finding = inspector.check("capacity")
    assert finding.severity == "ok", finding.message
    assert_equal(before, dict(inspector.training.model.state_dict()))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(*(nn.Conv1d(1, 1, 3, padding=1) for _ in range(2)), nn.Flatten(), nn.Linear(64, 2)),
        nn.Sequential(*(nn.Conv1d(1, 1, 3) for _ in range(4)), nn.Flatten(), nn.Linear(56, 2)),
        nn.Sequential(*(nn.Conv1d(1, 1, 17, padding=8) for _ in range(4)), nn.Flatten(), nn.Linear(64, 2)),
        nn.Sequential(*(nn.Conv1d(1, 1, 3, padding=1, stride=2) for _ in range(4)), nn.Flatten(), nn.Linear(4, 2)),
    ],
)
def test_other_stacks_are_left_alone(watched, model):
    with isolated(watched(case(model, clicks(32))).training) as copied:
        assert sight_of(take_apart(copied, next(iter(DataLoader(clicks(32), batch_size=16))))) is None
