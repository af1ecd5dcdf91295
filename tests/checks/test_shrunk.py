"""Weights that something besides the optimizer makes smaller."""

import pytest
import torch

import nn_inspector as nni
from nn_inspector.checks.loop.shrunk import SMALLEST, Shrunk, shrunk_weights
from tests.trainings import assert_equal, blobs, classifier, state_of


class InTheWeights:
    """An average of the weights, kept where they are: `.data` is the weight itself."""

    def __init__(self, model, decay):
        self.decay = decay
        self.shadow = {name: self.keep(p) for name, p in model.named_parameters()}

    def keep(self, parameter):
        return parameter.data

    @torch.no_grad()
    def update(self, model):
        for name, parameter in model.named_parameters():
            self.shadow[name].mul_(self.decay).add_(parameter.data, alpha=1 - self.decay)


class Apart(InTheWeights):
    def keep(self, parameter):
        return parameter.detach().clone()


def decayed(share):
    @torch.no_grad()
    def update(model):
        for parameter in model.parameters():
            parameter.mul_(1 - share)

    return update


def one_layer(model):
    model[0].weight.data.mul_(0.9)


def finding_of(make, *, epochs=20, rate=1e-3):
    case = classifier(data=blobs(spread=1.0))
    case.optimizer = torch.optim.Adam(case.model.parameters(), lr=rate)
    update = make(case.model)

    def train():
        for _ in range(epochs):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()
                update(case.model)

    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=train, show=False
    ) as inspector:
        train()
        before = state_of(case)
        found = inspector.check("optimizer_step", seconds=60.0)
        assert_equal(before, state_of(case))
    return found, inspector.run


def test_an_average_that_is_kept_in_the_weights_themselves_is_an_error():
    finding, run = finding_of(lambda model: InTheWeights(model, 0.8).update)
    assert shrunk_weights(run) == Shrunk(pytest.approx(0.04, rel=1e-3), 0)
    assert finding.severity == "error", finding.message
    assert "takes 0.04 of all weights away" in finding.message
    assert finding.remedy.tried.helped
    assert ".detach().clone()" in finding.remedy.code


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Apart(model, 0.8).update,
        lambda model: one_layer,
        lambda model: decayed(SMALLEST / 2),
        lambda model: lambda model: None,
    ],
    ids=["an average apart", "one layer", "a little", "nothing"],
)
def test_weights_that_are_left_alone_or_made_smaller_on_purpose_pass(make):
    finding, run = finding_of(make, epochs=4)
    assert shrunk_weights(run) is None
    assert finding.severity == "ok", finding.message


def test_where_the_training_does_well_all_the_same_nothing_is_said():
    finding, run = finding_of(lambda model: decayed(2 * SMALLEST), rate=0.02, epochs=40)
    assert shrunk_weights(run) is not None
    assert finding.severity == "ok", finding.message
