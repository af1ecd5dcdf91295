import queue

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.experiments import isolated
from nn_inspector.experiments.recurrent import with_backward
from tests.trainings import CLASSES, FEATURES, blobs


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_cudnn_is_left_aside_where_a_resting_layer_needs_a_backward_pass(layer, training, grad):
    model = nn.Sequential(layer(3, 4)).train(training)
    before = torch.backends.cudnn.enabled
    with torch.set_grad_enabled(grad), with_backward(model):
        assert torch.backends.cudnn.enabled is (before and (training or not grad))
    assert torch.backends.cudnn.enabled is before


def test_other_networks_keep_it():
    with with_backward(nn.Linear(2, 2).eval()):
        assert torch.backends.cudnn.enabled


def test_a_copy_at_rest_computes_without_it():
    seen = queue.Queue()  # which is no part of the training: an experiment does not put back what is in it

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.GRU(FEATURES, CLASSES, batch_first=True)

        def forward(self, x):
            seen.put(torch.backends.cudnn.enabled)
            return self.layer(x[:, None])[0][:, 0]

    model = Recurrent()
    loader = DataLoader(blobs(), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, nn.CrossEntropyLoss(), train_loader=loader, show=False) as inspector:
        batch = next(iter(loader))
        with isolated(inspector.training) as copied:
            copied.loss(batch)
            copied.model.eval()
            copied.loss(batch)
    assert [seen.get_nowait() for _ in range(2)] == [True, False]
    assert seen.empty()
