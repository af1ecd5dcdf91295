import pytest
import torch
from torch import nn

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import isolated
from nn_inspector.experiments.one_pass import one_pass
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, blobs, mlp


def training(model, loss_fn=None):
    return Training(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn or nn.CrossEntropyLoss())


@pytest.mark.parametrize("mode", [True, False])
def test_what_goes_in_what_comes_out_and_what_is_judged(mode):
    x, y = blobs(12).tensors
    seen_modes = []
    model = nn.Sequential(mlp(), nn.Dropout(0.5))
    with isolated(training(model)) as copied:
        copied.model.register_forward_pre_hook(lambda module, _: seen_modes.append(module.training))
        seen = one_pass(copied, (x, y), training=mode)
        assert copied.model.training
    assert seen_modes == [mode]
    assert len(seen.inputs) == len(seen.outputs) == len(seen.calls) == 1
    assert torch.equal(seen.inputs[0][0], x)
    assert seen.outputs[0].shape == (12, CLASSES)
    assert not seen.outputs[0].requires_grad
    assert seen.calls[0].name == "cross_entropy"
    assert torch.equal(seen.calls[0].target, y)


def test_its_hooks_are_gone_after_a_batch_that_does_not_fit():
    with isolated(training(mlp())) as copied:
        with pytest.raises(ExperimentError):
            one_pass(copied, (torch.zeros(3, FEATURES + 1), torch.zeros(3, dtype=torch.int64)))
        assert not copied.model._forward_pre_hooks
        assert not copied.model._forward_hooks
