"""Several optimizers of one model, in whatever order they step: what each changes is what is measured."""

import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.probes.rounds import Rounds
from tests.trainings import blobs, mlp

BATCHES = 36


def taking_turns(model):
    """Each makes a step for each batch."""
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[2].parameters())]

    def step(batch, backward):
        for optimizer in optimizers:
            optimizer.zero_grad()
        backward()
        for optimizer in optimizers:
            optimizer.step()

    return optimizers, step


def five_to_one(model):
    """One makes five steps before the other makes one, as the critic of a generator does."""
    return _in_an_order(model, [0, 0, 0, 0, 0, 1])


def three_and_three(model):
    """One makes three steps, and then the other."""
    return _in_an_order(model, [0, 0, 0, 1, 1, 1])


def _in_an_order(model, order):
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[2].parameters())]

    def step(batch, backward):
        backward()
        optimizers[order[batch % len(order)]].step()
        for optimizer in optimizers:
            optimizer.zero_grad()

    return optimizers, step


def within_backward(model):
    """One for each parameter, which steps as soon as its gradient is there and forgets it."""
    by_parameter = {one: torch.optim.SGD([one], lr=0.1, momentum=0.9) for one in model.parameters()}

    def step_at_once(parameter):
        by_parameter[parameter].step()
        by_parameter[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step_at_once)
    return list(by_parameter.values()), lambda batch, backward: backward()


KINDS = [taking_turns, five_to_one, three_and_three, within_backward]


def train(kind, every=None, *, found=False):
    """Losses, weights, what each batch changed in each parameter, and the inspector."""
    torch.manual_seed(0)
    model = mlp()
    optimizers, step = kind(model)
    loss_fn, inspector = nn.CrossEntropyLoss(), None
    if every is not None:
        inspector = nni.watch(model, None if found else optimizers, loss_fn, every=every, probes="full")
    losses, updates = [], {name: [] for name, _ in model.named_parameters()}
    for batch in range(BATCHES):
        x, y = blobs(16, seed=batch).tensors
        before = {name: one.detach().clone() for name, one in model.named_parameters()}
        loss = loss_fn(model(x), y)
        step(batch, loss.backward)
        losses.append(loss.item())
        for name, one in model.named_parameters():
            change = (one.detach() - before[name]).norm().item()
            updates[name] += [change] if change else []
    if inspector is not None:
        inspector.detach()
    return losses, [one.detach().clone() for one in model.parameters()], updates, inspector


@pytest.mark.parametrize("found", [False, True], ids=["given", "found by their steps"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_update_is_measured_and_the_training_untouched(kind, found):
    losses, weights, updates, _ = train(kind)
    watched_losses, watched_weights, _, inspector = train(kind, every=1, found=found)
    assert watched_losses == losses
    assert all(torch.equal(a, b) for a, b in zip(weights, watched_weights, strict=True))
    assert inspector.problems == []
    for name, expected in updates.items():
        assert inspector.run.series("update_norm", name).values.tolist() == pytest.approx(expected, rel=1e-5)
        assert len(inspector.run.series("gradient_norm", name)) == len(expected)


@pytest.mark.parametrize("every", [2, 4, 6, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_no_optimizer_steps_between_the_measured_steps_for_ever(kind, every):
    *_, inspector = train(kind, every)
    total = inspector.run.steps
    for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
        for quantity in ("update_norm", "gradient_norm"):
            measured = inspector.run.series(quantity, name).steps
            assert measured[-1] >= total - 2 * max(every, 6), (quantity, name)
    assert inspector.run.sources("activation_gradient_norm") == ["2", "1", "0"]


def test_one_optimizer_is_measured_as_often_as_was_asked():
    rounds = Rounds()
    assert not any(rounds.end_step(0, due=step % 3 == 0) for step in range(30))


def test_an_optimizer_that_has_stopped_or_is_rare_is_not_waited_for():
    rounds = Rounds()
    for step in range(6):
        rounds.end_step(step % 2, due=True)
    assert [rounds.end_step(0, due=True) for _ in range(5)] == [False, True, True, False, False]
    rounds = Rounds()
    turns = [int(step % 100 == 0) for step in range(1, 1001)]
    assert not any(rounds.end_step(turn, due=turn == 0) for turn in turns[200:])
