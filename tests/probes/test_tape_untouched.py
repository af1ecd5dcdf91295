"""A loop that is watched so that its loss can be computed again trains as it does without."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.probes.taped import ITEMS, Several, batch_of, noisy, parts_by_hand, tuples, watched, written_in_place
from tests.trainings import blobs, mlp

pytestmark = pytest.mark.usefixtures("nothing_was_compiled")


def test_the_users_tensors_are_let_go_and_never_changed():
    held = []

    def noted(model, batch):
        held.append(weakref.ref(batch[0]))
        loss = written_in_place(model, batch)
        held.append(weakref.ref(loss))
        return loss

    training = watched(noted, mlp, tuples)
    gc.collect()
    assert training.tape is not None
    assert not any(one() is not None for one in held)
    x, y = batch_of(tuples, ITEMS)
    before = x.clone()
    training.loss(training.model, None, (x, y))
    assert torch.equal(x, before)


def test_nothing_stays_on_after_the_first_steps():
    training = watched(parts_by_hand, Several, tuples, steps=8)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in training.model.modules())


def test_training_is_the_same_with_and_without():
    def run(watching):
        torch.manual_seed(3)
        model = Several()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        loader = DataLoader(blobs(), batch_size=ITEMS, shuffle=True)
        inspector = nni.watch(model, optimizer, train_loader=loader, show=False) if watching else None
        losses = []
        for batch in (batch for _ in range(2) for batch in loader):
            optimizer.zero_grad()
            beta = torch.distributions.Beta(0.4, 0.4).sample()
            loss = beta * noisy(model, batch) + parts_by_hand(model, batch) + F.dropout(model(batch[0]), 0.5).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if inspector is not None:
            inspector.detach()
            assert inspector.training.recorded.reason is None
            assert inspector.training.tape is not None
        return losses, model.state_dict(), torch.get_rng_state()

    (bare, weights, state), (losses, same, after) = run(False), run(True)
    assert losses == bare
    assert torch.equal(state, after)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
