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
        assert not torch.overrides._get_current_function_mode_stack()


class OfBatch(nn.Module):
    """A model that is called on the whole batch."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, batch):
        assert batch["y"].dim() == 1
        return self.net(batch["x"])


def test_labels_that_a_model_is_given_and_does_not_read_are_none_of_its_inputs():
    x, y = blobs(12).tensors
    asked = Training(
        model := OfBatch(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        step=lambda model, batch: nn.functional.cross_entropy(model(batch), batch["y"]),
    )
    with isolated(asked) as copied:
        seen = one_pass(copied, {"x": x, "y": y})
    assert [part.shape for part in seen.inputs[0]] == [x.shape]


class Untouched(nn.Module):
    def __init__(self):
        super().__init__()
        self.free = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, x, other):
        return self.free.expand(len(x), CLASSES)


def test_a_model_that_reads_nothing_is_said_to_be_given_all():
    x, y = blobs(12).tensors
    asked = Training(
        model := Untouched(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        step=lambda model, batch: nn.functional.cross_entropy(model(batch[0], batch[0] + 1), batch[1]),
    )
    with isolated(asked) as copied:
        assert len(one_pass(copied, (x, y)).inputs[0]) == 2
