"""What the trace says of the functions between the model and backward()."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.probes.traces import facts, functions, step_of, traced
from tests.trainings import CLASSES, FEATURES, Case, classifier


def regression():
    data = TensorDataset(torch.randn(64, FEATURES), torch.randn(64))
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 1))
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.01), nn.MSELoss(), DataLoader(data, batch_size=16))


FUNCTIONS = {
    "a loss by hand that broadcasts": (
        lambda c, x, y: ((c.model(x) - y) ** 2).mean(),
        [
            ("sub", ["16x1", "16"], ["prediction", "target"], [16, 16]),
            ("pow", ["16x16"], ["prediction+target"], [16, 16]),
            ("mean", ["16x16"], ["prediction+target"], []),
        ],
    ),
    "cast and squeezed": (
        lambda c, x, y: F.mse_loss(c.model(x).squeeze(-1), y.double().float()),
        [
            ("squeeze", ["16x1"], ["prediction"], [16]),
            ("double", ["16"], ["target"], [16]),
            ("float", ["16"], ["target"], [16]),
        ],
    ),
    "detached": (
        lambda c, x, y: F.mse_loss(c.model(x).detach()[:, 0], y) + c.model[2].bias.sum(),
        [
            ("detach", ["16x1"], ["prediction"], [16, 1]),
            ("getitem", ["16x1"], ["prediction"], [16]),
            ("sum", ["1"], ["parameters"], []),
            ("add", ["scalar", "scalar"], ["prediction+target", "parameters"], []),
        ],
    ),
    "through .data": (
        lambda c, x, y: F.mse_loss(c.model(x).data.view(-1), y) + c.model[2].bias.sum(),
        [
            ("data", ["16x1"], ["prediction"], [16, 1]),
            ("view", ["16x1"], ["prediction"], [16]),
            ("sum", ["1"], ["parameters"], []),
            ("add", ["scalar", "scalar"], ["prediction+target", "parameters"], []),
        ],
    ),
    "with item()": (
        lambda c, x, y: c.model(x).sum() / c.model(x).sum().item(),
        [
            ("sum", ["16x1"], ["prediction"], []),
            ("sum", ["16x1"], ["prediction"], []),
            ("item", ["scalar"], ["prediction"], None),
            ("div", ["scalar"], ["prediction"], []),
        ],
    ),
    "the input once more": (
        lambda c, x, y: (c.model(x) - x.mean(1, keepdim=True)).abs().sum(),
        [
            ("mean", ["16x8"], ["input"], [16, 1]),
            ("sub", ["16x1", "16x1"], ["prediction", "input"], [16, 1]),
            ("abs", ["16x1"], ["input+prediction"], [16, 1]),
            ("sum", ["16x1"], ["input+prediction"], []),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("as_list", [False, True], ids=["loader", "list"])
def test_functions_after_the_model(name, as_list):
    loss, expected = FUNCTIONS[name]
    case = regression()
    if as_list:
        case.train_loader = list(case.train_loader)
    assert functions(traced(step_of(loss), case)) == expected


@pytest.mark.parametrize(
    ("loss", "dims"),
    [
        (lambda c, x, y: c.model(x).softmax(0)[:, 0].sum(), [("softmax", 0), ("getitem", None), ("sum", None)]),
        (lambda c, x, y: F.softmax(c.model(x), dim=-1).log().sum(-1).mean(), [("softmax", 1), ("log", None), ("sum", 1), ("mean", None)]),
        (lambda c, x, y: torch.stack([c.model(x).mean()] * 2, -1).sum((0,)), [("mean", None), ("stack", 0), ("sum", 0)]),
    ],
)  # fmt: skip
def test_the_axis_of_a_function(loss, dims):
    trace = traced(step_of(loss), steps=1)
    assert [(f["name"], f["dim"]) for f in facts(trace, "function")] == dims


def test_penalties_over_many_parameters_do_not_fill_the_trace():
    model = nn.Sequential(*(nn.Linear(FEATURES, FEATURES) for _ in range(40)), nn.Linear(FEATURES, CLASSES))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), None, classifier().train_loader)

    def loss(c, x, y):
        return F.cross_entropy(c.model(x), y) + sum(p.abs().sum() for p in c.model.parameters())

    names = [f["name"] for f in facts(traced(step_of(loss), case, steps=1), "function")]
    assert len(names) == 21
    assert names[-1] == "add"


def test_a_column_that_meets_a_row_is_noted_whatever_comes_before_it():
    def loss(c, x, y):
        output = c.model(x)
        other = output[:, 0]
        for _ in range(700):
            other = other.clone()
        return F.cross_entropy(output, y) + sum((output[:, :1] - other).abs().mean() for _ in range(30))

    found = functions(traced(step_of(loss), steps=1))
    spread = [one for one in found if one[0] == "sub"]
    assert len(found) == 200 + 20
    assert spread == [("sub", ["16x1", "16"], ["prediction", "prediction"], [16, 16])] * 20
