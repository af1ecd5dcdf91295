"""Other networks that a loss uses, and whatever else of the user's an experiment comes across, stay as they are."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from nn_inspector import ExperimentError
from nn_inspector.experiments import isolated
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of

CRITIC = nn.Sequential(nn.Linear(CLASSES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
WEIGHTS = torch.zeros(CLASSES, requires_grad=True)
BATCH = blobs(16).tensors


def judged(output, target):
    return F.cross_entropy(output + WEIGHTS, target) + CRITIC(output).mean()


class Judging(nn.Module):
    def forward(self, output, target):
        return judged(output, target)


class Judge:
    critic = CRITIC

    def __init__(self):
        self.weights = WEIGHTS

    def loss(self, output, target):
        return F.cross_entropy(output + self.weights, target) + self.critic(output).mean()


class Judged(nn.Module):
    """A network that has another one judge it."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        output = self.net(x)
        return output + CRITIC(output) * WEIGHTS


def enclosed(critic, weights):
    return lambda output, target: F.cross_entropy(output + weights, target) + critic(output).mean()


REACHED = {
    "global": {"loss_fn": judged},
    "closure": {"loss_fn": enclosed(CRITIC, WEIGHTS)},
    "module": {"loss_fn": Judging()},
    "method": {"loss_fn": Judge().loss},
    "step": {"step": lambda model, batch: judged(model(batch[0]), batch[1])},
    "model": {"model": Judged()},
}


def of_critic():
    CRITIC.zero_grad(set_to_none=True)
    CRITIC(torch.randn(8, CLASSES)).sum().backward()
    WEIGHTS.grad = torch.ones(CLASSES)
    tensors = {name: value.clone() for name, value in CRITIC.state_dict().items()}
    gradients = [parameter.grad for parameter in (*CRITIC.parameters(), WEIGHTS)]
    return tensors, gradients, [gradient.clone() for gradient in gradients]


def training(*, step=None, model=None, loss_fn=None, optimizer=None):
    case = classifier()
    model = model or case.model
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    return Training(model, optimizer, loss_fn or case.loss_fn, train_loader=case.train_loader, step=step)


@pytest.mark.parametrize("how", REACHED)
def test_another_network_is_used_without_a_trace(how):
    before, gradients, values = of_critic()
    with isolated(training(**REACHED[how])) as copied:
        copied.loss(BATCH).backward()
        assert not torch.equal(CRITIC[1].running_mean, before["1.running_mean"])
    assert_equal(CRITIC.state_dict(), before)
    after = [parameter.grad for parameter in (*CRITIC.parameters(), WEIGHTS)]
    assert all(a is b for a, b in zip(after, gradients, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(after, values, strict=True))


def clipped(critic):
    for parameter in critic.parameters():
        parameter.data.clamp_(-1e-3, 1e-3)


def replaced(critic):
    critic[0].weight.data = torch.ones(3, 3)


def frozen(critic):
    critic.eval().requires_grad_(False)


def rebuilt(critic):
    critic[0] = nn.Linear(2, 2)


@pytest.mark.parametrize("change", [clipped, replaced, frozen, rebuilt])
@pytest.mark.parametrize("width", [8, 20_000])
def test_what_a_step_does_to_another_network_is_put_back(change, width):
    critic = nn.Sequential(nn.Linear(CLASSES, width), nn.BatchNorm1d(width))
    optimizer = torch.optim.Adam(critic.parameters())
    critic(torch.randn(8, CLASSES)).sum().backward()
    optimizer.step()

    def step(model, batch):
        optimizer.step()
        change(critic)
        return F.cross_entropy(model(batch[0]), batch[1])

    parts, layer = list(critic.parameters()), critic[0]
    subject = training(step=step)
    before = state_of(Case(critic, optimizer, step, ()))
    with isolated(subject) as copied:
        copied.loss(BATCH)
    assert_equal(state_of(Case(critic, optimizer, step, ())), before)
    assert critic[0] is layer
    assert all(a is b and a.requires_grad for a, b in zip(critic.parameters(), parts, strict=True))
    assert all(module.training for module in critic.modules())


@pytest.mark.parametrize(
    "kind", [torch.optim.Adam, torch.optim.LBFGS, functools.partial(torch.optim.SGD, momentum=0.9)]
)
@pytest.mark.parametrize("hidden", [16, 4000])
def test_a_step_that_trains_the_original_leaves_its_optimizer_as_it_was(kind, hidden):
    model = mlp(hidden=hidden)
    optimizer = kind(model.parameters(), lr=0.01)

    def step(_, batch):
        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            return loss

        return optimizer.step(closure).detach().requires_grad_()

    step(model, BATCH)
    case = Case(model, optimizer, step, ())
    subject = training(model=model, optimizer=optimizer, step=step)
    before = state_of(case)
    with pytest.raises(ExperimentError, match="It was put back"), isolated(subject) as copied:
        copied.loss(BATCH)
    assert_equal(state_of(case), before)


def test_what_is_too_large_to_be_put_back_is_named(monkeypatch):
    monkeypatch.setattr("nn_inspector.experiments.belongings._MOST_BYTES", 10_000)
    large = nn.Linear(200, 200)

    def step(model, batch):
        nn.init.zeros_(large.weight)
        large.bias.data.zero_()
        raise RuntimeError("in the middle")

    bias = large.bias.detach().clone()
    message = (
        r"your own parameter weight of Linear, and it could not be put back: it is too large.*Load your last checkpoint"
    )
    with pytest.raises(ExperimentError, match=message), isolated(training(step=step)) as copied:
        copied.loss(BATCH)
    assert torch.equal(large.bias, bias)


def test_an_interrupt_stays_one_whatever_could_not_be_put_back(monkeypatch):
    monkeypatch.setattr("nn_inspector.experiments.belongings._MOST_BYTES", 10_000)
    large = nn.Linear(200, 200)

    def step(model, batch):
        nn.init.zeros_(large.weight)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), isolated(training(step=step)) as copied:
        copied.loss(BATCH)


def test_a_hook_that_names_the_watched_network_is_called_on_the_copy():
    case = classifier()
    model = case.model
    model[0].register_forward_hook(lambda module, args, output: 0 * output + len(model))
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        case.run(1)
        with isolated(inspector.training) as copied:
            assert torch.equal(copied.model[0](torch.randn(2, FEATURES)), torch.full((2, 16), 3.0))
