"""Functions with a backward() of their own: is it the gradient of their forward()?"""

import pytest
import torch
from torch import nn

from nn_inspector.experiments import isolated
from nn_inspector.experiments.custom_backward import wrong_backward
from nn_inspector.training import Training
from tests.checks.flows import Net, batches, finding_of, sgd


class Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class TurnedRelu(Relu):
    @staticmethod
    def forward(ctx, x):
        return Relu.forward(ctx, x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] <= 0)


class Rounding(torch.autograd.Function):
    """Flat everywhere; the gradient is let through on purpose."""

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.factor * gradient, None


class Clamp(torch.autograd.Function):
    """Lets all gradients through."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(-0.5, 2.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def with_function(apply):
    return Net(lambda h: apply(h - 0.2))


def test_a_backward_that_does_not_belong_to_its_forward_is_an_error():
    finding = finding_of(with_function(TurnedRelu.apply))
    assert finding.severity == "error", finding.message
    assert "TurnedRelu.backward() returns is not the gradient of its forward()" in finding.message
    assert abs(finding.evidence["cosine"]) < 0.5
    assert "gradcheck(TurnedRelu.apply" in finding.remedy.code
    assert "forward" in TurnedRelu.__dict__
    assert isinstance(TurnedRelu.__dict__["forward"], staticmethod)


def test_functions_that_may_talk_to_other_processes_are_not_called(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    model, (x, y) = with_function(TurnedRelu.apply), batches[0]
    with isolated(Training(model, sgd(model), nn.CrossEntropyLoss())) as copied:
        assert wrong_backward(copied, (x, y)) is None


@pytest.mark.parametrize(
    "apply",
    [
        Relu.apply,
        Rounding.apply,
        lambda h: Reversal.apply(h, 0.3),
        lambda h: h + Reversal.apply(h, 0.0),
        Clamp.apply,
    ],
    ids=["right", "rounding", "reversal", "reversal that begins at zero", "clamp"],
)
def test_functions_with_a_backward_of_their_own_that_is_meant_pass(apply):
    finding = finding_of(with_function(apply))
    assert finding.severity == "ok", finding.message


class Product(torch.autograd.Function):
    """Of two inputs; the gradient of the second one may be turned around, or that of both."""

    @staticmethod
    def forward(ctx, x, y, signs):
        ctx.save_for_backward(x, y)
        ctx.signs = signs
        return x * y

    @staticmethod
    def backward(ctx, gradient):
        x, y = ctx.saved_tensors
        return ctx.signs[0] * gradient * y, ctx.signs[1] * gradient * x, None


@pytest.mark.parametrize(("signs", "wrong"), [((1, -1), True), ((1, 1), False), ((-1, -1), False)])
def test_a_gradient_that_is_turned_around_for_one_input_alone_is_an_error(signs, wrong):
    finding = finding_of(with_function(lambda h: h + 0.1 * Product.apply(h, 5 * h.tanh() + 2, signs)))
    assert (finding.severity == "error") == wrong, finding.message
    assert ("Product.backward()" in finding.message) == wrong


class Forgetful(Rounding):
    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        return None


def test_a_backward_that_returns_nothing_is_an_error():
    finding = finding_of(with_function(lambda h: h + Forgetful.apply(h)))
    assert finding.severity == "error", finding.message
    assert "Forgetful.backward()" in finding.message


class Nearest(torch.autograd.Function):
    """The nearest of some numbers; the gradient goes straight through to what was looked up, and none to the table."""

    @staticmethod
    def forward(ctx, x, table):
        return table[(x[..., None] - table).abs().argmin(-1)]

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Quantized(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.linspace(-2, 2, 9))

    def forward(self, h):
        return Nearest.apply(h, self.table) + 0 * self.table.sum()


def test_a_table_that_gets_no_gradient_beside_one_that_goes_straight_through_passes():
    finding = finding_of(Net(Quantized()))
    assert "is not the gradient of its forward()" not in finding.message
