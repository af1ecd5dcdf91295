import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.init.first_weights import LayerWeights
from nn_inspector.checks.init.weight_scale import unusual
from tests.scene_data import regression
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def deep(width=32, norm=None, activation=nn.ReLU):
    torch.manual_seed(0)
    layers = []
    for inside in (FEATURES, width, width):
        layers += [nn.Linear(inside, width), *([norm(width)] if norm else []), activation()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def wide(model, spread, kinds=(nn.Linear,)):
    for module in model.modules():
        if isinstance(module, kinds):
            nn.init.normal_(module.weight, std=spread)
    return model


def shut(model):
    nn.init.constant_(model[0].bias, -20.0)
    return model


def case(model, rate=0.02, **options):
    loader = DataLoader(blobs(**options), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


def numbers(model):
    """A task of which a network that starts far away learns nothing in so few steps."""
    inputs, targets, _, _ = regression(0, items=300)
    loader = DataLoader(TensorDataset(inputs[:, :FEATURES], targets), batch_size=32, shuffle=True)
    return Case(
        nn.Sequential(model, nn.Linear(CLASSES, 1)), torch.optim.Adam(model.parameters(), lr=1e-3), nn.MSELoss(), loader
    )


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.RNN(1, 16, batch_first=True, nonlinearity="relu"), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head(self.layer(x.unsqueeze(2))[0][:, -1])


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (LayerWeights("w", 0.18, 0.18), None),
        (LayerWeights("w", 0.06, 0.18), None),
        (LayerWeights("w", 0.45, 0.18), None),
        (LayerWeights("w", 0.9, 0.18), "too large (a standard deviation of 0.9, where 0.18 is advised)"),
        (LayerWeights("w", 0.01, 0.18), "too small"),
        (LayerWeights("w", 0.01, 0.18, recurrent=True), None),
        (LayerWeights("w", 0.4, 0.18, recurrent=True), "too large"),
        (LayerWeights("w", 0.18, 0.18, "relu", bias="b", offset=9.0), "the first b is 9 times as large"),
        (LayerWeights("w", 0.18, 0.18, "relu", bias="b", offset=1.0), None),
    ],
)
def test_which_first_weights_get_a_second_look(layer, said):
    found = unusual(layer)
    assert found is None if said is None else said in found


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: numbers(wide(deep(), 2.0)), "0.6.weight"),
        (lambda: case(wide(deep(), 1e-3)), "0.weight"),
        (lambda: case(shut(mlp())), "0.weight"),
    ],
)
def test_weights_that_keep_it_from_learning_are_raised(watched, make, where):
    finding = watched(make(), lambda c: c.run(6)).check("weight_scale")
    assert finding.severity in ("error", "warning"), finding.message
    assert finding.where == where
    assert finding.basis == "experiment"
    assert "On a copy" in finding.message
    assert "kaiming_normal_" in finding.remedy.code
    assert finding.remedy.tried.helped


def test_recurrent_weights_that_explode(watched):
    torch.manual_seed(0)
    model = Sequence()
    nn.init.normal_(model.layer.weight_hh_l0, std=1.5)
    finding = watched(case(model, 0.05), lambda c: c.run(6)).check("weight_scale")
    assert finding.raised, finding.message
    assert "layer.weight_hh_l0 is too large" in finding.message


@pytest.mark.parametrize(
    "make",
    [
        deep,
        lambda: deep(activation=nn.Tanh),
        lambda: wide(deep(norm=nn.BatchNorm1d)[:-1].append(nn.Linear(32, CLASSES)), 3.0, ()),
        lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), wide(nn.Linear(8, CLASSES), 0.0)),
        Sequence,
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, FEATURES)), nn.Conv1d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
        ),
    ],
)
def test_usual_first_weights_pass(watched, make):
    torch.manual_seed(0)
    finding = watched(case(make())).check("weight_scale")
    assert finding.severity == "ok", finding.message
    assert finding.evidence


def test_behind_a_normalization_the_width_does_not_matter(watched):
    model = deep(norm=nn.BatchNorm1d)
    for index in (0, 3, 6):
        nn.init.normal_(model[index].weight, std=5.0)
    finding = watched(case(model)).check("weight_scale")
    assert finding.severity == "ok"
    assert list(finding.evidence) == ["9.weight"]


def test_wide_weights_that_learn_are_a_remark(watched):
    made = case(wide(mlp(), 1.6), 0.05)
    finding = watched(made, lambda c: c.run(30)).check("weight_scale")
    assert finding.severity == "info", finding.message
    assert "no harm was seen" in finding.message


def test_nothing_is_tried_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("weight_scale", seconds=0).severity == "skipped"
    finding = untrained(mlp(), None, blobs()).check("weight_scale")
    assert finding.severity == "skipped"
    assert "how the loss is computed" in finding.message


def test_a_loss_that_does_not_say_what_is_right_leaves_it_at_a_remark(watched):
    data = TensorDataset(torch.randn(64, FEATURES))
    model = wide(mlp(), 3.0)
    step = lambda net, batch: net(batch[0]).square().mean()  # noqa: E731
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), None, DataLoader(data, batch_size=16))
    assert watched(made, step=step).check("weight_scale").severity == "info"


def test_the_training_is_left_as_it_was(watched):
    made = case(wide(deep(), 2.0))
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("weight_scale")
    assert_equal(before, state_of(made))


@pytest.mark.parametrize(("left", "severity"), [(0.9, "warning"), (0.2, "info")])
def test_where_nothing_could_be_tried_a_training_that_failed_is_warned(watched, monkeypatch, left, severity):
    monkeypatch.setattr("nn_inspector.checks.init.weight_scale.race", lambda *_, **__: None)
    monkeypatch.setattr("nn_inspector.checks.race.left_now", lambda subject: ("classes", left))
    finding = watched(case(wide(deep(), 0.0005))).check("weight_scale")
    assert finding.severity == severity, finding.message
    assert "is too small" in finding.message
    assert finding.basis == "statistics"


class Factors(nn.Module):
    """Rows of two tables, multiplied with each other."""

    def __init__(self, spread):
        super().__init__()
        torch.manual_seed(0)
        self.users, self.films = nn.Embedding(30, 16), nn.Embedding(20, 16)
        for table in (self.users, self.films):
            nn.init.normal_(table.weight, std=spread)

    def forward(self, pairs):
        return (self.users(pairs[:, 0]) * self.films(pairs[:, 1])).sum(1)


def ratings(spread):
    generator = torch.Generator().manual_seed(0)
    pairs = torch.stack(
        [torch.randint(30, (600,), generator=generator), torch.randint(20, (600,), generator=generator)], 1
    )
    taste, kind = torch.randn(30, 2, generator=generator), torch.randn(20, 2, generator=generator)
    loader = DataLoader(
        TensorDataset(pairs, (taste[pairs[:, 0]] * kind[pairs[:, 1]]).sum(1)), batch_size=32, shuffle=True
    )
    model = Factors(spread)
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.MSELoss(), loader)


def test_embeddings_that_are_multiplied_with_each_other_begin_too_wide(watched):
    made = ratings(1.0)
    inspector = watched(made, lambda c: c.run(6))
    before = state_of(made)
    finding = inspector.check("weight_scale")
    assert_equal(before, state_of(made))
    assert finding.severity == "error", finding.message
    assert "the first users.weight has a standard deviation of 1" in finding.message
    assert "std=0.05" in finding.remedy.code
    assert finding.remedy.tried.helped


@pytest.mark.parametrize(("spread", "epochs"), [(0.1, 6), (1.0, 0)], ids=["narrow", "nothing was trained"])
def test_embeddings_that_begin_narrow_or_were_not_trained_pass(watched, spread, epochs):
    finding = watched(ratings(spread), lambda c: c.run(epochs)).check("weight_scale")
    assert finding.severity == ("ok" if spread < 1 else "error"), finding.message


def patches(spread, *, items=500, epochs=30, signal=0.6):
    """Eight kinds of noisy signals of 40 numbers. A wide tanh network learns its own by heart, and little else."""
    torch.manual_seed(0)
    kinds = torch.randn(8, 40)
    y = torch.arange(items) % 8
    x = signal * kinds[y] + torch.randn(items, 40)
    model = nn.Sequential(nn.Linear(40, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8))
    if spread is not None:
        wide(model, spread)
    part = items - 200
    loaders = [DataLoader(TensorDataset(x[:part], y[:part]), batch_size=20, shuffle=True),
               DataLoader(TensorDataset(x[part:], y[part:]), batch_size=100)]  # fmt: skip
    optimizer, loss_fn = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    with nni.watch(model, optimizer, loss_fn, train_loader=loaders[0], val_loader=loaders[1], show=False) as inspector:
        for _ in range(epochs):
            for inputs, labels in loaders[0]:
                optimizer.zero_grad()
                loss_fn(model(inputs), labels).backward()
                optimizer.step()
        return inspector.check("weight_scale", seconds=60.0)


@pytest.mark.parametrize("signal", [0.6, 0.42])
def test_wide_weights_that_learn_by_heart_are_a_warning(signal):
    finding = patches(1.0, signal=signal)
    assert finding.severity == "warning", finding.message
    assert "learned its own data, but of the validation data it has" in finding.message
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


@pytest.mark.parametrize(("spread", "options"), [(None, {}), (1.0, {"items": 4000, "epochs": 8})])
def test_usual_weights_and_much_data_pass(spread, options):
    assert patches(spread, **options).severity in ("ok", "info")
