"""Training with and without us is bit-identical: losses, parameters, optimizer state and random state."""

import pytest
import torch
from torch.utils.data import TensorDataset

import nn_inspector as nni
from nn_inspector.probes import TRACED_STEPS
from tests.probes.trained_alike import COMBINATIONS, case, hook_dictionaries
from tests.trainings import assert_equal, blobs, state_of


@pytest.mark.parametrize("probes", ["standard", "full"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_watching_changes_nothing(name, probes):
    make, loop = COMBINATIONS[name]
    bare = make()
    losses = loop(bare)
    expected = state_of(bare)

    watched = make()
    with nni.watch(
        watched.model, watched.optimizer, watched.loss_fn, train_loader=watched.train_loader, every=1, probes=probes
    ) as inspector:
        watched_losses = loop(watched)
    assert watched_losses == losses
    assert_equal(state_of(watched), expected)
    assert inspector.run.steps > 0
    assert inspector.problems == []
    assert inspector.run.last("loss", "train") is not None
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.parametrize("options", [{"every": 3, "probes": "full"}, {}], ids=["every third step", "auto"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_nothing_changes_either_when_the_first_steps_are_over(name, options):
    make, loop = COMBINATIONS[name]
    watched, watched_losses = make(), []
    with nni.watch(
        watched.model, watched.optimizer, watched.loss_fn, train_loader=watched.train_loader, **options
    ) as inspector:
        while inspector.run.steps < TRACED_STEPS + 8:
            watched_losses.append(loop(watched))
    after = state_of(watched)

    bare = make()
    assert [loop(bare) for _ in watched_losses] == watched_losses
    assert_equal(after, state_of(bare))
    assert inspector.problems == []


@pytest.mark.parametrize("name", ["mlp sgd", "adam", "batch norm and dropout", "lstm", "augmentation", "two workers"])
def test_a_diagnosis_in_the_middle_changes_nothing(name):
    make, loop = COMBINATIONS[name]
    bare = make()
    losses = loop(bare) + loop(bare)
    expected = state_of(bare)

    watched = make()
    with nni.watch(watched.model, watched.optimizer, watched.loss_fn, train_loader=watched.train_loader) as inspector:
        watched_losses = loop(watched)
        modes = [module.training for module in watched.model.modules()]
        gradients = [p.grad for p in watched.model.parameters()]
        diagnosis = inspector.diagnose(budget=300.0)
        assert [module.training for module in watched.model.modules()] == modes
        assert all(p.grad is before for p, before in zip(watched.model.parameters(), gradients, strict=True))
        watched_losses += loop(watched)
    assert watched_losses == losses
    assert_equal(state_of(watched), expected)
    assert not [finding for finding in diagnosis.findings if "failed itself" in finding.message]


@pytest.mark.parametrize("steps", [0, 3, 30])
def test_detach_restores_every_registry(steps):
    c = case()()
    before = hook_dictionaries(c.model, c.optimizer, c.loss_fn)
    attributes = sorted(vars(c.train_loader))
    inspector = nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader)
    for _ in range(steps):
        x, y = blobs(16).tensors
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()
    inspector.detach()
    inspector.detach()
    assert hook_dictionaries(c.model, c.optimizer, c.loss_fn) == before
    assert sorted(vars(c.train_loader)) == attributes
    assert torch.overrides._get_current_function_mode_stack() == []


def test_nothing_of_ours_in_the_state_dict():
    c = case()()
    keys = list(c.model.state_dict()), list(c.optimizer.state_dict())
    with nni.watch(c.model, c.optimizer, c.loss_fn):
        assert (list(c.model.state_dict()), list(c.optimizer.state_dict())) == keys


def test_data_set_with_a_tensor_is_not_copied():
    """A probe that kept tensors would keep them alive."""
    import gc
    import weakref

    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1):
        x, y = TensorDataset(*blobs(16).tensors).tensors
        output = c.model(x)
        reference = weakref.ref(output)
        c.loss_fn(output, y).backward()
        c.optimizer.step()
        del output
        gc.collect()
        assert reference() is None
