import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from tests.checks.flows import Net, batches, finding_of
from tests.trainings import CLASSES, FEATURES, classifier


class Cutting(Net):
    def forward(self, x):
        h = self.body(x).detach()
        return self.head(h)


class WithoutGradient(Net):
    def forward(self, x):
        with torch.no_grad():
            h = self.body(x)
        return self.head(h)


class Target(nn.Module):
    """A network, and a slow copy of it that gives the targets."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.online = nn.Linear(FEATURES, 8)
        self.slow = copy.deepcopy(self.online)

    def forward(self, x):
        with torch.no_grad():
            target = self.slow(x)
        return F.mse_loss(self.online(x + 0.1), target)


@pytest.mark.parametrize("model", [Net(), Net(auxiliary=True), Net(lambda h: h + (h.round() - h).detach())])
def test_sound_flows_pass(model):
    finding = finding_of(model)
    assert finding.severity == "ok", finding.message
    assert finding.message == "Yes: gradients reach 4 of 6 parameters that are stepped."


def test_a_slow_copy_gets_no_gradient_on_purpose():
    def make_loop(model, optimizer, criterion):
        def loop():
            for x, _ in batches:
                optimizer.zero_grad()
                model(x).backward()
                optimizer.step()
                with torch.no_grad():
                    for slow, fast in zip(model.slow.parameters(), model.online.parameters(), strict=True):
                        slow.lerp_(fast, 0.05)

        return loop

    assert finding_of(Target(), make_loop).severity == "ok"


CUTS = {
    "detach": Net(lambda h: h.detach()),
    "data": Net(lambda h: h.data),
    "numpy": Net(lambda h: torch.from_numpy(h.detach().numpy())),
    "in forward": Cutting(),
    "no_grad": WithoutGradient(),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_body_that_is_cut_off_is_an_error(cut):
    finding = finding_of(copy.deepcopy(CUTS[cut]))
    assert (finding.severity, finding.basis) == ("error", "experiment")
    assert finding.message.startswith("No: body.0.weight, body.0.bias never got a gradient, although the loss depends")


def test_the_line_of_the_cut_is_named():
    assert finding_of(Cutting()).where.endswith("h = self.body(x).detach()")


@pytest.mark.parametrize(("model", "severity"), [(Cutting(), "warning"), (Net(torch.Tensor.detach), "ok")])
def test_without_an_experiment_the_source_must_show_it(model, severity):
    assert finding_of(model, seconds=0).severity == severity


def trained(model):
    optimizer = torch.optim.SGD([*model.body.parameters(), *model.head.parameters()], lr=0.5)
    for x, y in batches * 4:
        F.cross_entropy(model.head(model.body(x)), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_pretrained_body_may_be_cut_off():
    finding = finding_of(WithoutGradient(), before=trained)
    assert finding.severity == "info"
    assert "On purpose if they were trained before" in finding.message


def a_loss_made_anew(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            loss = torch.tensor(criterion(model(x), y).item(), requires_grad=True)
            loss.backward()
            optimizer.step()

    return loop


def without_backward(model, optimizer, criterion):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y)
            optimizer.step()

    return loop


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("make_loop", [a_loss_made_anew, without_backward])
def test_steps_without_a_gradient_are_an_error(make_loop, read):
    finding = finding_of(Net(), make_loop, read=read)
    assert (finding.severity, finding.basis) == ("error", "structure")
    assert "the optimizer made steps, but none of its 6 parameters ever got a gradient" in finding.message
    if make_loop is a_loss_made_anew and read:
        assert "loss = torch.tensor(criterion(model(x), y).item(), requires_grad=True)" in finding.where


def test_the_data_may_be_missing():
    finding = finding_of(Net(torch.Tensor.detach), loader=None)
    assert finding.severity in ("warning", "error"), finding.message
    assert "There is no train_loader" in finding.message


def test_before_training_it_says_what_to_do(watched):
    finding = watched(classifier()).check("gradient_flow")
    assert (finding.severity, "Too few steps" in finding.message) == ("skipped", True)


class Adapted(nn.Module):
    """A frozen layer with a product of two small matrices beside it."""

    def __init__(self, spread):
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(FEATURES, CLASSES).requires_grad_(False)
        self.a = nn.Parameter(spread * torch.randn(FEATURES, 2))
        self.b = nn.Parameter(torch.zeros(2, CLASSES))

    def forward(self, x):
        return self.base(x) + x @ self.a @ self.b


def adapted(spread):
    model = Adapted(spread)
    optimizer = torch.optim.SGD([model.a, model.b], lr=0.1)

    def train():
        for x, y in 4 * batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    with nni.watch(model, optimizer, nn.CrossEntropyLoss(), train_loader=batches, loop=train, show=False) as inspector:
        train()
        return [inspector.check(name, seconds=60.0) for name in ("gradient_flow", "zero_input")]


def test_two_factors_that_are_both_zero_are_an_error():
    finding, other = adapted(0.0)
    assert finding.severity == "error", finding.message
    assert "2 matrices are all zero and never got a gradient other than 0 (a, b)" in finding.message
    assert (finding.where, other.severity) == ("a", "ok")


def test_one_factor_that_begins_with_zeros_passes():
    assert [finding.severity for finding in adapted(0.3)] == ["ok", "ok"]
