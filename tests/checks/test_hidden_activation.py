import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def bent(items=400):
    """Whether two inputs have the same sign: no straight line can tell."""
    inputs = torch.randn(items, FEATURES, generator=torch.Generator().manual_seed(0))
    return TensorDataset(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long())


def halves(items=256):
    """Whether one input is above zero, which is easy."""
    inputs = torch.randn(items, FEATURES, generator=torch.Generator().manual_seed(0))
    return TensorDataset(inputs, (inputs[:, 0] > 0).long())


def stack(*widths, activation=None):
    torch.manual_seed(0)
    layers = []
    for inside, outside in zip((FEATURES, *widths), (*widths, 2), strict=True):
        layers += [nn.Linear(inside, outside), *([activation()] if activation else [])]
    return nn.Sequential(*(layers[:-1] if activation else layers))


def case(model, data=None, rate=5e-3):
    loader = DataLoader(data or bent(), batch_size=32, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(FEATURES, 32), nn.Linear(32, 32), nn.Linear(32, 2)

    def forward(self, x):
        return self.last(F.dropout(self.second(self.first(x)), 0.1, self.training))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.key, self.value, self.last = nn.Linear(2, 8), nn.Linear(2, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = x.reshape(len(x), -1, 2)
        weight = torch.softmax(self.key(x) @ self.key(x).transpose(1, 2) / 8**0.5, dim=-1)
        return self.last((weight @ self.value(x)).mean(1))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.branch, self.last = nn.Linear(FEATURES, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.first(x)
        return self.last(torch.relu(x + torch.relu(self.branch(x))))


@pytest.mark.parametrize(
    ("make", "epochs", "said", "where"),
    [
        (lambda: case(stack(32, 32), rate=1e-2), 16, "only linear layers, 3 of them", "0"),
        (lambda: case(Functional(), rate=1e-2), 16, "only linear layers, 3 of them", "first"),
        (
            lambda: case(stack(48, 48, 48, activation=lambda: nn.Softmax(dim=1)), halves()),
            10,
            "a softmax stands between layers",
            "1",
        ),
        (lambda: case(stack(*[24] * 5, activation=nn.Sigmoid), halves()), 10, "5 layers with sigmoid in a row", "1"),
    ],
)
def test_what_keeps_it_from_learning_is_raised(watched, make, epochs, said, where):
    finding = watched(make(), lambda c: c.run(epochs)).check("hidden_activation")
    assert finding.severity == "error", finding.message
    assert finding.where == where
    assert finding.basis == "experiment"
    assert said in finding.message
    assert "ReLU" in finding.remedy.text
    assert finding.remedy.tried.helped


def sums(spread):
    x = torch.randn(320, FEATURES, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(320, 1, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x[:, :1] + spread * noise)


@pytest.mark.parametrize(
    ("widths", "spread", "severity"),
    [((32, 32), 0.4, "warning"), ((32,), 0.4, "info"), ((32, 32), 0.0, "info")],
    ids=["several", "one", "all is learned"],
)
def test_several_softmaxes_are_a_warning_where_anything_is_left_to_learn(watched, widths, spread, severity):
    """ReLU would do little better here: the numbers are noisy."""
    layers, inputs = [], FEATURES
    torch.manual_seed(0)
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.Softmax(dim=1)]
        inputs = width
    model = nn.Sequential(*layers, nn.Linear(inputs, 1))
    loader = DataLoader(sums(spread), batch_size=16, shuffle=True)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=0.02), nn.MSELoss(), loader)
    finding = watched(made, lambda c: c.run(25)).check("hidden_activation")
    assert finding.severity == severity, finding.message
    assert "a softmax stands between layers" in finding.message.lower()
    assert ("share a sum of 1" in finding.message) == (severity == "warning")


@pytest.mark.parametrize(
    "make",
    [
        lambda: classifier().model,
        lambda: mlp(activation=nn.Tanh),
        lambda: nn.Linear(FEATURES, CLASSES),
        lambda: nn.Sequential(nn.Linear(FEATURES, 8), nn.Sigmoid(), nn.Linear(8, CLASSES), nn.LogSoftmax(dim=1)),
        Attention,
        Residual,
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(FEATURES, 2, 16, batch_first=True), nn.Linear(FEATURES, CLASSES)
        ),
    ],
)
def test_usual_functions_pass(watched, make):
    torch.manual_seed(0)
    finding = watched(case(make(), blobs())).check("hidden_activation")
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize("model", [stack(8), nn.Sequential(nn.Linear(FEATURES, 8), nn.Softmax(dim=1), nn.Linear(8, 2))])
def test_what_learns_anyway_is_a_remark(watched, model):
    made = case(model, halves(), 0.05)
    finding = watched(made, lambda c: c.run(40)).check("hidden_activation")
    assert finding.severity == "info", finding.message
    assert "no harm was seen" in finding.message


def test_tanh_that_lets_the_signal_through_passes(watched):
    model = stack(*[24] * 5, activation=nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=5 / 3)
    assert watched(case(model)).check("hidden_activation").severity == "ok"


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("hidden_activation", seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check("hidden_activation").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = case(stack(16, 16))
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("hidden_activation")
    assert_equal(before, state_of(made))
    assert "forward" not in vars(made.model)


def equation(activation, *, order=2):
    """-u'' = pi^2 sin(pi x), or u' = pi cos(pi x), with u(0) = 0."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 1))

    def loss_fn(model, points):
        points = points.clone().requires_grad_()
        found = model(points)
        for _ in range(order):
            (found,) = torch.autograd.grad(found.sum(), points, create_graph=True)
        wanted = -(torch.pi**2) * (torch.pi * points).sin() if order == 2 else torch.pi * (torch.pi * points).cos()
        return (found - wanted).square().mean() / 10 + model(torch.zeros(1, 1)).square().mean()

    loader = DataLoader(TensorDataset(torch.rand(96, 1)), batch_size=16, shuffle=True)
    return Case(net, torch.optim.Adam(net.parameters(), lr=0.01), loss_fn, loader)


def solved(c):
    for _ in range(4):
        for (points,) in c.train_loader:
            c.optimizer.zero_grad()
            c.loss_fn(c.model, points).backward()
            c.optimizer.step()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU])
def test_straight_pieces_where_second_derivatives_are_asked_for_are_an_error(watched, activation):
    made = equation(activation)
    inspector = watched(made, solved)
    before = state_of(made)
    finding = inspector.check("hidden_activation")
    assert_equal(before, state_of(made))
    assert finding.severity == "error", finding.message
    assert "With tanh in place of `1` and the like it gets one of" in finding.message
    assert "softplus" in finding.remedy.text
    assert finding.where == "1"


@pytest.mark.parametrize(("activation", "order"), [(nn.Tanh, 2), (nn.SiLU, 2), (nn.ReLU, 1)])
def test_curves_and_first_derivatives_pass(watched, activation, order):
    finding = watched(equation(activation, order=order), solved).check("hidden_activation")
    assert finding.severity in ("ok", "info"), finding.message
