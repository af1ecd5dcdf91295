"""Loops without a loader: their first steps are recorded, and can be computed again on a copy."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical, Normal

import nn_inspector as nni
from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import batch_size, distinct_items
from nn_inspector.probes.recorded_steps import STEPS
from tests.trainings import CLASSES, FEATURES, blobs, mlp

X, Y = blobs().tensors
STEPS_MADE = 6

pytestmark = pytest.mark.usefixtures("nothing_was_compiled")


def curve():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def whole_set(model):
    return F.cross_entropy(model(X), Y)


def chosen_items(model):
    rows = torch.randperm(len(X))[:16]
    return F.cross_entropy(model(X[rows]), Y[rows])


def weighted_classes(model):
    rows = torch.randint(len(X), (16,))
    return F.cross_entropy(model(X[rows]), Y[rows], weight=torch.arange(1.0, CLASSES + 1))


def noise_on_the_input(model):
    rows = torch.randint(len(X), (16,))
    return F.cross_entropy(model(X[rows] + 0.1 * torch.randn(16, FEATURES)), Y[rows])


def from_numpy(model):
    rows = torch.randint(len(X), (16,)).numpy()
    return F.cross_entropy(model(torch.from_numpy(X.numpy()[rows])), torch.from_numpy(Y.numpy()[rows]))


def second_derivative(model):
    x = torch.rand(16, 1, requires_grad=True)
    u = x * (1 - x) * model(x)
    (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (d2u,) = torch.autograd.grad(du.sum(), x, create_graph=True)
    ends = model(torch.tensor([[0.0], [1.0]]))
    return (d2u + torch.sin(x)).square().mean() + ends.square().mean()


def pairs(model):
    i, j = torch.randint(len(X), (2, 16))
    same = (Y[i] == Y[j]).float()
    distance = (model(X[i]) - model(X[j])).norm(dim=1)
    return (same * distance**2 + (1 - same) * F.relu(2 - distance) ** 2).mean()


def simulation(model):
    state, total = torch.randn(16, 1), 0.0
    for _ in range(3):
        state = state + 0.1 * model(state)
        total = total + state.square().mean()
    return total / 3


def bandit(model):
    rows = torch.randint(len(X), (16,))
    choice = Categorical(logits=model(X[rows]))
    arm = choice.sample()
    reward = (arm == Y[rows]).float()
    return -(choice.log_prob(arm) * (reward - 0.25)).mean()


def episode(model):
    place, log_probs, rewards = 0, [], []
    while place < 2 and len(rewards) < 9:
        choice = Categorical(logits=model(X[place]))
        action = choice.sample()
        log_probs.append(choice.log_prob(action))
        place += action.item() == 0
        rewards.append(float(place))
    return -(torch.stack(log_probs) * torch.tensor(rewards)).sum()


def continuous_actions(model):
    s = torch.rand(16, 1)
    action = (policy := Normal(model(s), 0.5)).sample()
    return -(policy.log_prob(action) * -((action - s) ** 2)).mean()


def bootstrapped(model):
    rows = torch.randint(len(X), (16,))
    best = model(X[rows]).argmax(1)[0].item()
    target = 0.9 * model(X[rows + best - best]).max(1).values.detach() + 1
    return F.mse_loss(model(X[rows]).gather(1, Y[rows, None]).squeeze(1), target)


DATA = {  # loss, network, how many batches, shapes of their parts
    "whole set": (whole_set, mlp, 1, {0: [96, FEATURES], 1: [96]}),
    "chosen items": (chosen_items, mlp, STEPS_MADE, {0: [16, FEATURES], 1: [16]}),
    "weighted classes": (weighted_classes, mlp, STEPS_MADE, {0: [16, FEATURES], 1: [16]}),
    "noise on the input": (noise_on_the_input, mlp, STEPS_MADE, {0: [16, FEATURES], 1: [16]}),
    "from numpy": (from_numpy, mlp, STEPS_MADE, {0: [16, FEATURES], 1: [16]}),
    "second derivative": (second_derivative, curve, STEPS_MADE, {"input_0": [16, 1]}),
    "pairs": (
        pairs,
        mlp,
        STEPS_MADE,
        {"input_0": [16, FEATURES], "input_1": [16, FEATURES], **{f"target_{place}": [16] for place in (0, 1)}},
    ),
    "simulation": (simulation, curve, STEPS_MADE, {"input_0": [16, 1]}),
}

OWN = {"bandit": (bandit, mlp), "episode": (episode, mlp), "continuous actions": (continuous_actions, curve),
       "bootstrapped": (bootstrapped, mlp)}  # fmt: skip


def run(loss_of, make, *, steps=STEPS_MADE, after=lambda model: None):
    """Train for a few steps; returns the inspector, and each step's network before it and loss."""
    torch.manual_seed(1)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inspector = nni.watch(model, optimizer, show=False)
    made = []
    for _ in range(steps):
        weights = copy.deepcopy(model.state_dict())
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        made.append((weights, loss.item()))
        after(model)
    inspector.detach()
    return inspector, made


def assert_the_same_losses(inspector, make, made, batches):
    model = make()
    for (weights, loss), batch in zip(made[-len(batches) :], batches, strict=True):
        model.load_state_dict(weights)
        assert inspector.training.loss(model, None, batch).item() == pytest.approx(loss, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", DATA)
def test_its_data_are_recorded(name):
    loss_of, make, count, shapes = DATA[name]
    inspector, made = run(loss_of, make)
    seen = inspector.training.recorded.steps_seen
    assert inspector.training.recorded.reason is None
    assert not seen.own_answers
    # of the first step only what follows the first call of the model was seen
    assert len(seen.batches) == count or (name == "second derivative" and len(seen.batches) == count - 1)
    batch = seen.batches[0] if isinstance(seen.batches[0], dict) else dict(enumerate(seen.batches[0]))
    assert {key: list(part.shape) for key, part in batch.items()} == shapes
    assert inspector.training.data is seen.batches
    if count > 1:
        assert_the_same_losses(inspector, make, made, seen.batches)


def test_the_target_stands_behind_the_input():
    x, y = run(whole_set, mlp)[0].training.data[0]
    assert torch.equal(x, X)
    assert torch.equal(y, Y)


@pytest.mark.parametrize("name", OWN)
def test_what_the_network_makes_itself_is_no_data(name):
    loss_of, make = OWN[name]
    inspector, made = run(loss_of, make)
    training = inspector.training
    assert training.recorded.steps_seen.own_answers
    assert training.tape is None
    assert_the_same_losses(inspector, make, made, training.moments)
    with pytest.raises(ExperimentError, match="the network has a hand in their data"):
        _ = training.data
    with pytest.raises(ExperimentError, match="cannot be taken apart to items"):
        batch_size(training.moments[0])
    with pytest.raises(ExperimentError, match="cannot be taken apart to items"):
        distinct_items(training.moments[0], 2)


def test_steps_that_are_computed_in_different_ways_are_wholes():
    sizes = iter(range(3, 99))

    def longer_and_longer(model):
        state = torch.ones(4, 1)
        for _ in range(next(sizes)):
            state = model(state)
        return state.square().mean()

    inspector, made = run(longer_and_longer, curve)
    assert not inspector.training.recorded.steps_seen.own_answers
    assert_the_same_losses(inspector, curve, made, inspector.training.moments)
    with pytest.raises(ExperimentError, match="each is computed in a way of its own"):
        _ = inspector.training.data


def test_judging_after_each_step_makes_no_data():
    def judge(model):
        with torch.no_grad():
            (model(X).argmax(1) == Y).float().mean().item()

    inspector, _ = run(whole_set, mlp, after=judge)
    assert len(inspector.training.data) == 1


def test_only_so_many_steps_are_recorded():
    assert len(run(chosen_items, mlp, steps=STEPS + 9)[0].training.data) == STEPS


def test_what_is_recorded_does_not_change_with_the_users_tensor():
    data = X.clone()

    def overwritten_later(model):
        return F.cross_entropy(model(data), Y)

    inspector, _ = run(overwritten_later, mlp, after=lambda model: data.add_(1.0))
    first, second = (batch[0] for batch in inspector.training.data[:2])
    assert torch.equal(second, first + 1.0)


WEIGHT = torch.ones((), requires_grad=True)


def with_a_weight_beside(model):
    return F.cross_entropy(model(X), Y) * WEIGHT


def train_the_weight(_):
    with torch.no_grad():
        WEIGHT.mul_(1.01)


OTHER = nn.Linear(FEATURES, FEATURES)


def another_networks_weight(model):
    return F.cross_entropy(model(OTHER(X)), Y)


@pytest.mark.parametrize("loss_of", [with_a_weight_beside, another_networks_weight])
def test_other_parameters_are_refused(loss_of):
    training = run(loss_of, mlp, after=train_the_weight)[0].training
    assert training.recorded.failure is None
    assert training.moments == []
    with pytest.raises(ExperimentError, match="Parameters take part that do not belong to the model"):
        _ = training.data


def test_several_optimizers_are_refused():
    model = mlp()
    halves = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (model[0], model[2])]
    inspector = nni.watch(model, halves, show=False)
    for _ in range(3):
        for optimizer in halves:
            optimizer.zero_grad()
            whole_set(model).backward()
            optimizer.step()
    inspector.detach()
    with pytest.raises(ExperimentError, match="Several optimizers make steps"):
        _ = inspector.training.data


def test_a_large_tensor_is_not_copied_and_missed_when_it_is_gone(monkeypatch):
    monkeypatch.setattr("nn_inspector.probes.recorded_steps.MOST_BYTES", 0)
    assert torch.equal(run(whole_set, mlp)[0].training.data[0][0], X)
    training = run(chosen_items, mlp)[0].training
    with pytest.raises(ExperimentError, match="too large to be kept"):
        _ = training.data


def test_a_loader_is_preferred():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = [(X, Y)]
    inspector = nni.watch(model, optimizer, train_loader=loader, show=False)
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    inspector.detach()
    assert inspector.training.data is loader
    assert inspector.training.recorded.steps_seen is None


def test_no_step_no_data():
    inspector = nni.watch(mlp(), show=False)
    with pytest.raises(ExperimentError, match=r"There is no train_loader to take data from\. Pass train_loader"):
        _ = inspector.training.data
    inspector.detach()


def test_the_random_state_and_the_weights_are_untouched():
    def trained(watched):
        torch.manual_seed(3)
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        inspector = nni.watch(model, optimizer, show=False) if watched else None
        for loss_of in (noise_on_the_input, bandit) * 4:
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
        if inspector is not None:
            inspector.detach()
        return [*model.state_dict().values(), torch.get_rng_state()]

    for mine, theirs in zip(trained(watched=True), trained(watched=False), strict=True):
        assert torch.equal(mine, theirs)
