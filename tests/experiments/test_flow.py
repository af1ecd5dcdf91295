import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.experiments import isolated, take_apart
from nn_inspector.experiments.flow import STRAIGHT, flow_of
from nn_inspector.experiments.rewiring import followed_by, rewire
from nn_inspector.training import Training


class Net(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.weight = nn.Parameter(torch.ones(4, 4))
        self.register_buffer("graph", torch.eye(8))
        self.forward = forward.__get__(self)


def flow(forward):
    model = Net(forward)
    training = Training(
        model, loss_fn=lambda p, t: p.square().mean(), train_loader=[(torch.randn(8, 4), torch.ones(8))]
    )
    with isolated(training) as copied:
        copied.model.forward = forward.__get__(copied.model)
        return flow_of(take_apart(copied, training.train_loader[0]))


@pytest.mark.parametrize(
    ("forward", "kinds"),
    [
        (lambda self, x: self.b(F.relu(self.a(x))), ["layer", "activation", "layer"]),
        (lambda self, x: self.b(torch.tanh(self.a(x)).view(-1, 4)), ["layer", "bounded", "move", "layer"]),
        (lambda self, x: x @ self.weight, ["layer"]),
        (lambda self, x: self.graph @ self.a(x), ["layer", "affine"]),
        (lambda self, x: (self.a(x) @ self.b(x).T).softmax(1), ["layer", "layer", "move", "gate", "softmax"]),
        (lambda self, x: x + self.a(x) * 2, ["layer", "affine", "join"]),
        (lambda self, x: self.a(x) * self.b(x), ["layer", "layer", "gate"]),
        (lambda self, x: self.a(F.dropout(F.layer_norm(x, (4,)), 0.1)), ["norm", "dropout", "layer"]),
        (lambda self, x: torch.cat(self.a(x).chunk(2, 1), 1), ["layer", "move", "join"]),
        (lambda self, x: torch.relu_(self.a(x)), ["layer", "activation"]),
        (lambda self, x: torch.special.bessel_j0(self.a(x)), ["layer", "other"]),
    ],
)  # fmt: skip
def test_calls_are_named_for_what_they_are(forward, kinds):
    assert [node.kind for node in flow(forward)] == kinds


def test_what_does_not_depend_on_the_input_is_left_out():
    nodes = flow(lambda self, x: self.a(x) + self.weight.sum() * 2)
    assert [node.kind for node in nodes] == ["layer", "affine"]


def test_the_way_back_and_ahead_passes_what_it_is_told_to():
    nodes = flow(lambda self, x: self.c(F.relu(self.a(x)) + F.dropout(self.b(x) / 2).reshape(-1, 4)))
    last = nodes.of("layer")[-1]
    assert [node and (node.kind, node.weight) for node in nodes.before(last, STRAIGHT)] == [
        ("activation", None), ("layer", "b.weight"),
    ]  # fmt: skip
    (first, second, _) = nodes.of("layer")
    assert nodes.after(second, STRAIGHT) == [last]
    assert [node.kind for node in nodes.after(first, STRAIGHT)] == ["activation"]
    assert nodes.before(first, STRAIGHT) == [None]
    assert {node.place for node in nodes.behind(last)} == {node.place for node in nodes} - {last.place}


def test_a_call_can_be_replaced_and_others_of_its_name_stay():
    model = nn.Sequential(nn.Sigmoid(), nn.Linear(2, 2), nn.Sigmoid())
    x = torch.randn(3, 2)
    rewire(model, {("sigmoid", 1): lambda function, args, kwargs: args[0]})
    assert torch.equal(model(x), model[1](x.sigmoid()))
    assert torch.equal(model(x), model[1](x.sigmoid())), "each pass counts anew"


def test_something_can_be_put_behind_a_call_of_functional_code():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2))
    plain = model.forward
    model.forward = lambda x: torch.relu(plain(x)) - 1
    x = torch.randn(3, 2)
    before = model(x)
    rewire(model, {("relu", 0): followed_by(lambda tensor: tensor * 0)})
    assert not torch.equal(model(x), before)
    assert bool((model(x) == -1).all())
