import pytest
import torch

import nn_inspector as nni
from nn_inspector.errors import ArgumentError
from nn_inspector.optimizers import as_optimizers
from tests.trainings import classifier


def adam():
    return torch.optim.Adam([torch.zeros(2, requires_grad=True)])


class Warmup:
    """As many write it who read of transformers."""

    def __init__(self, optimizer):
        self.optimizer, self.steps = optimizer, 0

    def zero_grad(self):
        self.optimizer.zero_grad()

    def step(self):
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01 * min(1.0, self.steps / 5)
        self.optimizer.step()


def test_all_forms_are_a_list():
    one, other = adam(), adam()
    assert as_optimizers(None) == []
    assert as_optimizers(one) == [one]
    for form in (
        [one, other],
        (one, other),
        {"body": one, "head": other},
        Warmup([one, other]),
        Warmup({"a": one, "b": other}),
    ):
        assert as_optimizers(form) == [one, other]
    assert as_optimizers([one, Warmup(one)]) == [one]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("adam", "expected a torch.optim.Optimizer, got a str. Pass the optimizer whose step()"),
        (Warmup, "expected a torch.optim.Optimizer, got the class Warmup itself"),
        (torch.optim.lr_scheduler.ConstantLR(adam()), "Pass the optimizer itself: scheduler.optimizer."),
    ],
)
def test_others_are_refused_by_name(given, says):
    with pytest.raises(ArgumentError, match="optimizer") as refused:
        as_optimizers(given)
    assert says in str(refused.value)


def test_a_warmup_of_ones_own_is_watched_through():
    case = classifier()
    warmup = Warmup(case.optimizer)
    with nni.watch(case.model, warmup, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        for x, y in case.train_loader:
            warmup.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            warmup.step()
        assert inspector.run.steps == warmup.steps
        assert inspector.training.optimizers == [case.optimizer]
        assert inspector.run.last("learning_rate", "optimizer 0 group 0") == 0.01


class PlainDescent:
    """Steps by itself."""

    def __init__(self, parameters):
        self.parameters = list(parameters)

    def step(self):
        with torch.no_grad():
            for parameter in self.parameters:
                parameter.sub_(parameter.grad, alpha=0.1)
                parameter.grad = None


def test_an_optimizer_of_ones_own_is_left_aside_and_its_steps_are_seen():
    case = classifier()
    own = PlainDescent(case.model.parameters())
    with nni.watch(case.model, own, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        assert inspector.training.optimizers == []
        for _ in range(3):
            for inputs, target in case.train_loader:
                case.loss_fn(case.model(inputs), target).backward()
                own.step()
        finding = inspector.check("optimizer_step")
    assert finding.severity == "ok", finding.message


class OfItsOwnRate(torch.optim.Optimizer):
    """As Adafactor, which finds its rate itself."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(0.1 * p.grad)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("group", [{"lr": None}, {}], ids=["None", "no rate"])
def test_a_group_may_have_no_learning_rate(group, given):
    case = classifier()
    case.optimizer = OfItsOwnRate(case.model.parameters(), group)
    with nni.watch(
        case.model, case.optimizer if given else None, case.loss_fn, train_loader=case.train_loader, every=1
    ) as inspector:
        case.run(1)
        assert inspector.problems == []
        assert (inspector.run.steps, inspector.run.sources("learning_rate")) == (6, [])


def test_an_optimizer_of_its_own_rate_is_diagnosed():
    case = classifier()
    case.optimizer = OfItsOwnRate(case.model.parameters(), {"lr": None})
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        case.run(4)
        findings = inspector.diagnose(budget=60.0).findings
    assert not [finding.message for finding in findings if "failed itself" in finding.message]
    assert not [finding.message for finding in findings if finding.severity == "error"]


def test_why_no_optimizer_could_be_found_is_said(monkeypatch):
    case = classifier()

    def fail(optimizer):
        raise ValueError("of ours")

    with nni.watch(case.model, loss_fn=case.loss_fn) as inspector:
        monkeypatch.setattr(inspector, "add_optimizer", fail)
        case.run(1)
        assert inspector.problems == ["The optimizer finder probe switched itself off: ValueError: of ours"]
