"""What is measured of passes that no step followed, and of several that belong to one step."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from nn_inspector.probes.passes import Passes
from tests.trainings import CLASSES, FEATURES, blobs, mlp

X, Y = blobs(16).tensors
FAR = 100.0


def scaled_steps(model, optimizer, *, shifted, clear="before forward", set_to_none=True, passes=1):
    """Steps under a gradient scaler; those in `shifted` have other inputs and an Inf gradient, so they are skipped."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    for number in range(6):
        for part in range(passes):
            if clear == "before forward" and not part:
                optimizer.zero_grad(set_to_none=set_to_none)
            loss = F.cross_entropy(model(X + FAR * (number in shifted)), Y)
            if clear == "before backward" and not part:
                optimizer.zero_grad(set_to_none=set_to_none)
            scaler.scale(loss / passes).backward()
        if number in shifted:
            model[0].weight.grad.fill_(torch.inf)
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("clear", ["before forward", "before backward"])
@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("shifted", [(2,), (0, 1), (2, 3, 4)])
@pytest.mark.parametrize("passes", [1, 3])
def test_a_pass_whose_step_was_skipped_is_in_no_number_of_the_next(clear, set_to_none, shifted, passes):
    model = mlp(activation=nn.Tanh)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        scaled_steps(model, optimizer, shifted=shifted, clear=clear, set_to_none=set_to_none, passes=passes)
    assert inspector.problems == []
    assert inspector.run.nonfinite is None
    taken = 6 - len(shifted)
    for quantity in ("activation_mean", "activation_saturated", "activation_gradient_norm", "unit_activity"):
        assert inspector.run.series(quantity, "1").steps.tolist() == list(range(taken)), quantity
    mean = model[0](X).mean().item()
    assert inspector.run.series("activation_mean", "0").values == pytest.approx([mean] * taken, abs=1e-3)
    saturated = (model[:2](X).abs() > 0.99499).float().mean().item()
    assert inspector.run.series("activation_saturated", "1").values == pytest.approx([saturated] * taken, abs=0.01)
    activity = inspector.run.last_vector("unit_activity", "1").mean()
    assert activity == pytest.approx(1 - saturated, abs=0.01)


def test_micro_batches_belong_to_one_step():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        for _ in range(3):
            optimizer.zero_grad()
            for shift in (0.0, 1.0, 2.0):
                F.cross_entropy(model(X + shift), Y).backward()
            optimizer.step()
    expected = torch.stack([model[0](X + shift).mean() for shift in (0.0, 1.0, 2.0)]).mean().item()
    assert inspector.run.series("activation_mean", "0").values == pytest.approx([expected] * 3, abs=1e-5)


class TwoNets(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(FEATURES, CLASSES), nn.Linear(FEATURES, 1)

    def forward(self, x, part):
        return getattr(self, part)(x)


@pytest.mark.parametrize("separate", [False, True])
def test_nets_that_are_called_and_taught_one_after_the_other_are_both_measured(separate):
    model = TwoNets()
    groups = [model.actor.parameters(), model.critic.parameters()] if separate else [model.parameters()]
    optimizers = [torch.optim.SGD(group, lr=0.01) for group in groups]
    with nni.watch(model, optimizers, every=1, probes="full") as inspector:
        for _ in range(3):
            for optimizer in optimizers:
                optimizer.zero_grad()
            model(X, "actor").square().mean().backward()
            model(X, "critic").square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert len(inspector.run.series("activation_mean", "actor")) == 3
    assert len(inspector.run.series("activation_mean", "critic")) == 3


def test_of_two_optimizers_the_one_that_steps_decides():
    """The step of the first is skipped; what was measured for it is not taken for the second one's."""
    model = TwoNets()
    first, second = (torch.optim.SGD(part.parameters(), lr=0.0) for part in (model.actor, model.critic))
    with nni.watch(model, [first, second], every=1, probes="full") as inspector:
        for _ in range(3):
            for optimizer, shift in ((first, FAR), (second, 0.0)):
                optimizer.zero_grad()
                (model.actor(X + shift).mean() + model(X + shift, "critic").mean()).backward()
            second.step()
    expected = model.critic(X).mean().item()
    assert inspector.run.series("activation_mean", "critic").values == pytest.approx([expected] * 3, abs=1e-5)


def test_the_last_evaluation_of_a_closure_is_the_one_measured():
    model = mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3, lr=1e-6)
    shifts = []

    def closure():
        shifts.append(float(len(shifts)))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X + shifts[-1]), Y)
        loss.backward()
        return loss

    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        optimizer.step(closure)
    assert len(shifts) > 1
    expected = model[0](X + shifts[-1]).mean().item()
    assert inspector.run.series("activation_mean", "0").values == pytest.approx([expected], abs=1e-3)


def test_the_first_of_the_passes_is_looked_at_again_once_another_took_its_place():
    lstm = nn.LSTM(FEATURES, 4, batch_first=True)
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    model = nn.ModuleDict({"lstm": lstm, "attention": attention})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x = torch.randn(4, 6, FEATURES, generator=torch.Generator().manual_seed(0))

    def run(factor):
        optimizer.zero_grad()
        hidden, _ = lstm(factor * x)
        attention(hidden, hidden, hidden)[0].mean().backward()

    found = []
    for skipped in (False, True):
        with nni.watch(model, optimizer, every=1, probes="full") as inspector:
            if skipped:
                run(30.0)
            run(1.0)
            optimizer.step()
        found.append(
            [inspector.run.last_vector("hidden_norm", "lstm"), inspector.run.last("attention_entropy", "attention")]
        )
    assert found[1][0].tolist() == found[0][0].tolist()
    assert found[1][1] == found[0][1]


def test_modules_without_parameters_of_an_optimizer_are_no_witness():
    model = mlp()
    passes = Passes([torch.optim.SGD(model[2].parameters(), lr=0.1)])
    assert passes.witness(model[0]) is None
    assert passes.witness(model[1]) is None
    assert passes.witness(model[2]) == 0
    assert passes.witness(model[2]) is None
