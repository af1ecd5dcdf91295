import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


def case(model, loss_fn=None, data=None):
    loader = DataLoader(data or blobs(), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.05), loss_fn or nn.CrossEntropyLoss(), loader)


def constant(value, model=None):
    model = model or nn.Sequential(mlp(), nn.ReLU(), nn.Linear(CLASSES, CLASSES))
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    return model


def zeros(model, *names):
    for name in names:
        nn.init.zeros_(model.get_parameter(name))
    return model


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.gate = nn.Linear(FEATURES, 8), nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, CLASSES)
        nn.init.zeros_(self.gate.weight)

    def forward(self, x):
        x = torch.tanh(self.body(x))
        return self.head(x * torch.relu(self.gate(x)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.branch, self.last = nn.Linear(FEATURES, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)
        zeros(self, "branch.weight", "branch.bias", "last.weight")

    def forward(self, x):
        x = self.first(x)
        return self.last(torch.relu(x + self.branch(x)))


class LowRank(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(FEATURES, 8).requires_grad_(requires_grad=False)
        self.down, self.up = nn.Linear(FEATURES, 2, bias=False), nn.Linear(2, 8, bias=False)
        self.head = nn.Linear(8, CLASSES)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.head(torch.relu(self.frozen(x) + self.up(self.down(x))))


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.LSTM(2, 6, batch_first=True), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.layer(x.reshape(len(x), -1, 2))[0][:, -1])


BROKEN = {
    "constant": (lambda: case(constant(0.1)), "0.0.weight", "get the same gradients"),
    "zeros": (lambda: case(constant(0.0)), "0.0.weight", "no gradient ever reached them"),
    "zeros behind a ReLU": (lambda: case(zeros(mlp(), "0.weight", "0.bias")), "0.weight", "no gradient ever"),
    "a gate of zeros behind a ReLU": (lambda: case(Gated()), "gate.weight", "no gradient ever"),
    "a constant recurrent layer": (lambda: case(constant(0.1, Sequence())), "layer.weight_ih_l0", "the same gradients"),
}

SOUND = {
    "random": classifier,
    "zero biases": lambda: case(zeros(mlp(), "0.bias", "2.bias")),
    "a last layer of zeros": lambda: case(zeros(mlp(), "2.weight", "2.bias")),
    "a linear model of zeros": lambda: case(constant(0.0, nn.Linear(FEATURES, CLASSES))),
    "branches of zeros": lambda: case(Residual()),
    "low rank": lambda: case(LowRank()),
    "a first layer of zeros behind tanh": lambda: case(zeros(mlp(activation=nn.Tanh), "0.weight", "0.bias")),
    "identity": lambda: case(nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, CLASSES))),
    "one output": lambda: case(
        constant(0.0, nn.Linear(3, 1)), nn.MSELoss(), TensorDataset(torch.randn(64, 3), torch.randn(64, 1))
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_units_that_stay_alike_are_an_error(watched, name):
    torch.manual_seed(0)
    make, where, said = BROKEN[name]
    finding = watched(make(), lambda c: c.run(3)).check("symmetry")
    assert finding.severity == "error", finding.message
    assert finding.where == where
    assert said in finding.message
    assert finding.basis == "structure"


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("epochs", [0, 3])
def test_first_weights_that_are_meant_pass(watched, name, epochs):
    torch.manual_seed(0)
    made = SOUND[name]()
    if name == "identity":
        nn.init.eye_(made.model[0].weight)
    finding = watched(made, lambda c: c.run(epochs)).check("symmetry")
    assert finding.severity in (("ok",) if epochs else ("ok", "info")), finding.message


def test_before_training_zeros_are_only_suspected(watched):
    finding = watched(case(zeros(mlp(), "0.weight", "0.bias"))).check("symmetry")
    assert finding.severity == "info"
    assert "their first gradient is zero" in finding.message
    assert watched(case(constant(0.1))).check("symmetry").severity == "error"


def test_units_that_became_different_are_fine(watched):
    made = case(constant(0.1))

    def loop(c):
        with torch.no_grad():
            for parameter in c.model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        c.run(15)

    assert watched(made, loop).check("symmetry").severity == "ok"


class Columns(nn.Module):
    """Layers of one's own, whose units are the columns of their weights; each unit was drawn with the same seed."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        sizes = [(FEATURES, 16), (16, 16), (16, CLASSES)]
        self.weights = nn.ParameterList(
            (torch.randn(inputs, 1, generator=generator) / inputs**0.5).repeat(1, outputs) for inputs, outputs in sizes
        )

    def forward(self, x):
        for weight in list(self.weights)[:-1]:
            x = torch.tanh(x @ weight)
        return x @ self.weights[-1]


def test_units_that_become_different_too_slowly_are_raised_where_others_learn(watched):
    finding = watched(case(Columns(), data=blobs(spread=1.0)), lambda c: c.run(4)).check("symmetry", seconds=20.0)
    assert finding.severity == "error", finding.message
    assert "all 16 units of weights.0 begin with the same weights" in finding.message
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped


def test_columns_that_are_alike_and_get_the_same_gradients_are_units(watched):
    made = Columns()
    with torch.no_grad():
        for weight in made.weights:
            weight.fill_(0.1)
    finding = watched(case(made), lambda c: c.run(3)).check("symmetry")
    assert (finding.severity, finding.basis) == ("error", "structure"), finding.message


class Factors(nn.Module):
    """The product of two tables, as for ratings."""

    def __init__(self, *, sparse=False):
        super().__init__()
        self.users, self.works = (nn.Embedding(20, 6, sparse=sparse) for _ in range(2))

    def forward(self, pairs):
        return (self.users(pairs[:, 0]) * self.works(pairs[:, 1])).sum(1)


def ratings():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(0, 20, (400, 2), generator=generator)
    tastes = torch.randn(2, 20, 3, generator=generator)
    return TensorDataset(pairs, (tastes[0][pairs[:, 0]] * tastes[1][pairs[:, 1]]).sum(1))


@pytest.mark.parametrize("sparse", [False, True])
def test_embeddings_whose_numbers_begin_alike_stay_one_number(watched, sparse):
    model = constant(0.1, Factors(sparse=sparse))
    finding = watched(case(model, nn.MSELoss(), ratings()), lambda c: c.run(3)).check("symmetry")
    assert (finding.severity, finding.where) == ("error", "users.weight"), finding.message
    assert "all 6 units of users.weight" in finding.message


def test_embeddings_that_were_drawn_pass(watched):
    finding = watched(case(Factors(), nn.MSELoss(), ratings()), lambda c: c.run(3)).check("symmetry")
    assert finding.severity == "ok", finding.message


class Experts(nn.Module):
    """Several small networks that are weighed by a gate, or that follow each other."""

    def __init__(self, experts, *, chain=False):
        super().__init__()
        self.experts = nn.ModuleList(experts)
        self.gate = nn.Linear(FEATURES, len(experts))
        self.last = nn.Linear(FEATURES, CLASSES)
        self.chain = chain

    def forward(self, x):
        if self.chain:
            for expert in self.experts:
                x = x + expert(x).tanh()
            return self.last(x)
        weights = self.gate(x).softmax(1)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        return self.last((weights[:, :, None] * answers).sum(1))


def experts(*, one, chain=False):
    torch.manual_seed(0)
    made = [nn.Linear(FEATURES, FEATURES)] * 4 if one else [nn.Linear(FEATURES, FEATURES) for _ in range(4)]
    return Experts(made, chain=chain)


def test_one_module_in_several_places_that_get_the_same_input_is_an_error(watched):
    finding = watched(case(experts(one=True)), lambda c: c.run(2)).check("symmetry")
    assert finding.severity == "error", finding.message
    assert "`experts` holds one Linear 4 times" in finding.message
    assert f"{FEATURES * FEATURES + FEATURES} numbers to learn together" in finding.message
    assert finding.where == "experts"
    assert "for _ in range(4)" in finding.remedy.code


@pytest.mark.parametrize(("one", "chain"), [(False, False), (True, True)], ids=["several modules", "shared in a row"])
def test_several_modules_and_layers_that_share_their_weights_pass(watched, one, chain):
    assert watched(case(experts(one=one, chain=chain)), lambda c: c.run(2)).check("symmetry").severity == "ok"


class TwoDense(nn.Module):
    def __init__(self, *, constant):
        super().__init__()
        torch.manual_seed(0)
        shapes = ((6, 24), (24, 24))
        weights = [torch.full(s, 1 / s[0]) if constant else torch.randn(s) / s[0] ** 0.5 for s in shapes]
        self.first, self.second = (nn.Parameter(weight) for weight in weights)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        return self.out(torch.tanh(torch.tanh(x @ self.first) @ self.second))


@pytest.mark.parametrize(
    ("constant", "noise", "severity"), [(True, 1.0, "warning"), (False, 1.0, "ok"), (True, 0.0, "ok")]
)
def test_units_that_only_rounding_has_told_apart_are_a_warning_where_anything_is_left_to_learn(
    watched, constant, noise, severity
):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(480, 6, generator=generator)
    y = 2 * x.sum(1, keepdim=True).tanh() + noise * torch.randn(480, 1, generator=generator)
    model = TwoDense(constant=constant)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    made = Case(model, torch.optim.RMSprop(model.parameters(), lr=2e-3), nn.MSELoss(), loader)

    def loop(case):
        case.run(2)
        with torch.no_grad():  # as rounding does, on other machines and with more steps
            model.first.add_(0.02 * torch.randn(model.first.shape, generator=generator))
        case.run(20)

    finding = watched(made, loop).check("symmetry")
    assert finding.severity == severity, finding.message
    assert ("Only what is rounded" in finding.message) == (severity == "warning")
