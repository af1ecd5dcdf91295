"""input_scale and target_scale."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data.input_scale import rule as input_rule
from nn_inspector.checks.data.inputs_seen import InputsSeen
from nn_inspector.checks.data.target_scale import rule as target_rule
from nn_inspector.checks.data.targets_seen import TargetsSeen
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of

G = torch.Generator().manual_seed(0)
NORMAL = torch.randn(500, 6, generator=G)
WIDTHS = torch.tensor([1e-3, 1, 1, 1, 1, 1])


def seen(values, *, axis=1, dims=2, normalized=False):
    return InputsSeen(values, axis, dims, bool((values == values.round()).all()), normalized)


@pytest.mark.parametrize(
    ("inputs", "unusual"),
    [
        (seen(NORMAL), None),
        (seen(NORMAL * 0.3 + 0.2), None),
        (seen(NORMAL.sigmoid()), None),
        (seen((NORMAL > 2).float()), None),
        (seen((NORMAL > 2.9).float()), None),
        (seen(NORMAL.clamp(-2, 8)), None),
        (seen(NORMAL * 60 + 120), "The inputs are large"),
        (seen((NORMAL * 60 + 120).round().clamp(0, 255)), "The inputs are large"),
        (seen(NORMAL * 1e-3), "The inputs are small"),
        (seen(NORMAL * 1e-3 + 0.5), "The inputs are almost constant"),
        (seen(NORMAL * WIDTHS), "Some columns of the inputs are much wider than others"),
        (seen(NORMAL * WIDTHS, dims=4), None),
        (seen(NORMAL + 8), "The inputs are far from 0"),
        (seen(NORMAL * torch.tensor([0, 1, 1, 1, 1, 1])), None),
    ],
)
def test_which_inputs_get_a_second_look(inputs, unusual):
    assert input_rule(inputs) == unusual


@pytest.mark.parametrize(
    ("targets", "unusual"),
    [
        (NORMAL, None),
        (NORMAL.sigmoid(), None),
        (NORMAL[:, :1] * 2 + 3, None),
        (NORMAL * 0, None),
        (NORMAL * 80 + 300, "The targets are large"),
        (NORMAL * 1e-3, "The targets are almost constant"),
        (NORMAL + 20, "The targets are far from 0"),
    ],
)
def test_which_targets_get_a_second_look(targets, unusual):
    assert target_rule(TargetsSeen(targets, targets * 0, 1)) == unusual


def scaled(factor, shift=0.0):
    data = blobs()
    return TensorDataset(data.tensors[0] * factor + shift, data.tensors[1])


def normalizing():
    return nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, CLASSES))


class Indices(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.embedding(x.long().clamp(0, 9)).mean(1))


@pytest.mark.parametrize(
    ("data", "model", "rate", "severity", "says"),
    [
        (scaled(1e4), mlp, 0.1, "error", "No: the inputs are large"),
        (scaled(1e-4), mlp, 0.1, "error", "No: the inputs are small"),
        (scaled(1.0), mlp, 0.1, "ok", "Yes: mean"),
        (scaled(1.0), mlp, 1e-9, "ok", "Yes: mean"),
        (scaled(1e4), mlp, 1e-12, "info", "no harm was seen"),
        (scaled(8.0), mlp, 0.01, "info", "no harm was seen"),
        (scaled(1e4), normalizing, 0.1, "ok", "the first layer normalizes them"),
    ],
)
def test_inputs_are_an_error_only_if_scaling_them_beats_the_training(watched, data, model, rate, severity, says):
    torch.manual_seed(0)
    network = model()
    loader = DataLoader(data, batch_size=16, shuffle=True)
    case = Case(network, torch.optim.SGD(network.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)
    inspector = watched(case, lambda case: case.run(15))
    before = numbers_of(case)
    finding = inspector.check("input_scale")
    assert_equal(before, numbers_of(case))
    assert (finding.severity, finding.basis == "experiment") == (severity, severity == "error")
    assert says in finding.message
    if severity == "error":
        assert finding.remedy.tried.helped


class Squashed(nn.Module):
    """Large numbers that leave most units of the first layer at an end of their range, beside what is enough to learn from."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.activation = nn.Linear(FEATURES, 32), activation
        self.last, self.beside = nn.Linear(32, CLASSES), nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.last(self.activation(self.first(x))) + self.beside((x - 300) / 20)


@pytest.mark.parametrize(
    ("activation", "severity"), [(nn.Tanh(), "warning"), (nn.Sigmoid(), "warning"), (nn.Hardswish(), "info")]
)
def test_inputs_that_leave_the_first_units_at_their_ends_are_a_warning_however_well_the_rest_learns(
    watched, activation, severity
):
    network, loader = Squashed(activation), DataLoader(scaled(20.0, 300.0), batch_size=16, shuffle=True)
    case = Case(network, torch.optim.SGD(network.last.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)
    case.optimizer.add_param_group({"params": network.beside.parameters()})
    finding = watched(case, lambda c: c.run(12)).check("input_scale")
    assert finding.severity == severity, finding.message
    assert ("are at an end of their range for every item" in finding.message) == (severity == "warning")


def test_whole_numbers_that_are_looked_up_have_no_scale(watched):
    tokens = TensorDataset(torch.randint(0, 10, (64, 5)), torch.randint(0, 4, (64,)))
    case = classifier(data=tokens)
    case.model = Indices()
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    finding = watched(case, lambda case: case.run(1)).check("input_scale")
    assert finding.severity == "skipped"
    assert "no tensor of real numbers" in finding.message


class TwoInputs(nn.Module):
    """Codes that are looked up, flags, and a table; the answer is in the table alone."""

    def __init__(self):
        super().__init__()
        self.table, self.flags, self.head = nn.Linear(FEATURES, 16), nn.Linear(3, 16), nn.Linear(16, CLASSES)

    def forward(self, flags, *, table):
        return self.head(torch.relu(self.flags(flags) + self.table(table["numbers"])))


@pytest.mark.parametrize(("factor", "severity"), [(1.0, "ok"), (1e4, "error")])
def test_each_input_counts_wherever_it_is_passed(factor, severity):
    torch.manual_seed(0)
    inputs, labels = blobs().tensors
    flags = (torch.rand(len(inputs), 3) < 0.5).float()
    model = TwoInputs()
    optimizer, loss_fn = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(flags, inputs * factor, labels), batch_size=16, shuffle=True)

    def train():
        for _ in range(15):
            for a, b, y in loader:
                optimizer.zero_grad()
                loss_fn(model(a, table={"numbers": b}), y).backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train()
    finding = inspector.check("input_scale")
    assert finding.severity == severity, finding.message
    if severity == "error":
        assert "table: mean" in finding.message
        assert finding.remedy.tried.helped


def images(items=96):
    pictures = torch.rand(items, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    pictures[:, 0] *= torch.linspace(0, 1, items)[:, None, None]
    return TensorDataset(pictures * 255, (torch.arange(items) * 4 // items))


def test_the_channels_of_images_are_scaled_each(watched):
    torch.manual_seed(0)
    case = classifier(data=images())
    case.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.3)
    finding = watched(case, lambda case: case.run(30)).check("input_scale")
    assert finding.severity == "error"
    assert "mean(dim=(0, 2, 3), keepdim=True)" in finding.remedy.code


class Scaling(nn.Module):
    """Scales its input at the start of forward()."""

    def __init__(self, scale, shift=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 4))
        self.scale, self.shift = scale, shift

    def forward(self, x):
        return self.layers(self.scale * x + self.shift)


@pytest.mark.parametrize(
    ("scale", "shift", "severity"), [(1 / 255**2, 0.0, "error"), (1 / 64, -2.0, "ok")], ids=["twice", "once"]
)
def test_what_forward_makes_of_the_inputs_counts(watched, scale, shift, severity):
    case = classifier(data=images())
    case.model = Scaling(scale, shift)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    finding = watched(case, lambda case: case.run(20)).check("input_scale")
    assert finding.severity == severity, finding.message
    if severity == "error":
        assert "inputs are almost constant once forward() has scaled them" in finding.message
        assert "in layers.1" in finding.message
        assert finding.where == "model.forward"
        assert "Scale them once" in finding.remedy.text


def line(scale=1.0, shift=0.0):
    inputs = torch.randn(128, FEATURES, generator=torch.Generator().manual_seed(2))
    return TensorDataset(inputs, inputs[:, :1] * scale + shift)


def numbers_of(case):
    """Its state, for trainings that ended in NaN."""
    return {name: tensor.nan_to_num() for name, tensor in state_of(case).items()}


def regressor(data, rate, loss_fn=None, last=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1), *([last] if last else []))
    loader = DataLoader(data, batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=rate), loss_fn or nn.MSELoss(), loader)


def by_hand(output, target):
    return (output - target).abs().mean()


@pytest.mark.parametrize(
    ("case", "severity", "says"),
    [
        (lambda: regressor(line(1e4, 2e4), 0.1), "error", "No: the targets are large"),
        (lambda: regressor(line(1e4, 2e4), 0.1, by_hand), "error", "No: the targets are large"),
        (lambda: regressor(line(), 0.1), "ok", "Yes: mean"),
        (lambda: regressor(line(8.0, 3.0), 0.003), "info", "no harm was seen"),
        (lambda: regressor(line(1e4), 1e-12), "info", "no harm was seen"),
    ],
)
def test_targets_are_an_error_only_if_scaling_them_beats_the_training(watched, case, severity, says):
    case = case()
    inspector = watched(case, lambda case: case.run(15))
    before = numbers_of(case)
    finding = inspector.check("target_scale")
    assert_equal(before, numbers_of(case))
    assert finding.severity == severity
    assert says in finding.message


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (classifier, "networks that predict numbers"),
        (
            lambda: Case(nn.Linear(4, 4), None, lambda y, x: F.mse_loss(y, 2 * x), [(torch.rand(8, 4),) * 2]),
            "do not stand in the batch",
        ),
    ],
)
def test_only_numbers_that_come_with_the_batch_can_be_scaled(watched, case, says):
    case = case()
    case.optimizer = case.optimizer or torch.optim.SGD(case.model.parameters(), lr=0.1)
    finding = watched(case, lambda case: case.run(1)).check("target_scale")
    assert finding.severity == "skipped"
    assert says in finding.message


X = torch.randn(400, 5, generator=torch.Generator().manual_seed(1))
HARD = TensorDataset(X, ((2.5 * X[:, 0]).sin() + (2.5 * X[:, 1]).cos())[:, None])


def cut(make, *, data=HARD):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    loader = DataLoader(TensorDataset(make(data.tensors[0]), data.tensors[1]), 20, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=3e-3), nn.MSELoss(), loader)


@pytest.mark.parametrize("make", [torch.trunc, torch.round], ids=["cut", "rounded"])
def test_scaled_columns_that_were_cut_to_whole_numbers_are_a_warning(watched, make):
    finding = watched(cut(make), lambda c: c.run(3)).check("input_scale")
    assert finding.severity == "warning", finding.message
    assert "all 5 columns hold small whole numbers only, from -" in finding.message
    assert "floating-point" in finding.remedy.text


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x.sign(),
        lambda x: x.abs().trunc(),
        lambda x: torch.cat([x[:, :1].trunc(), x[:, 1:]], 1),
        lambda x: (x * 1.2 + 3).round().clamp(1, 5),
    ],
    ids=["as they are", "signs", "counts", "one of them", "grades"],
)
def test_other_columns_are_not_called_cut(watched, make):
    assert "cut to whole" not in watched(cut(make), lambda c: c.run(3)).check("input_scale").message


def test_whole_numbers_that_are_enough_pass(watched):
    easy = TensorDataset(X, X.trunc().sum(1, keepdim=True))
    assert not watched(cut(torch.trunc, data=easy), lambda c: c.run(30)).check("input_scale").raised
