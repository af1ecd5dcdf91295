"""A watched model can be made a script module as if nobody watched."""

import copy

import pytest
import torch

import nn_inspector as nni
from tests.trainings import classifier

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def _nothing(module, args):
    """A hook of the user's that torch cannot compile."""


def registries(model):
    return [(list(m._forward_hooks), list(m._forward_pre_hooks)) for m in model.modules()]


def test_hooks_are_back_where_they_were():
    c = classifier()
    c.model[0].register_forward_pre_hook(_nothing)
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1) as inspector:
        before = registries(c.model)
        with pytest.raises(RuntimeError):
            torch.jit.script(c.model)
        assert registries(c.model) == before
        c.run(1)
        assert inspector.problems == []
        assert inspector.run.sources("activation_mean")


def test_a_copy_that_outlives_the_watching():
    c = classifier()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1):
        c.run(1)
        twin = copy.deepcopy(c.model)
    x = next(iter(c.train_loader))[0]
    assert torch.equal(torch.jit.script(twin)(x), twin(x))
