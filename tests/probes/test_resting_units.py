"""Dead and saturated units, against those that were made so."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.probes.closely import closely_watched, trained_closely


@pytest.mark.parametrize("kind", ["linear", "convolution", "sequence", "sequence of channels", "lstm"])
def test_dead_units_by_the_layer_that_made_them(kind):
    """Units 1 and 3 of 8 are dead: their bias is far below zero."""
    torch.manual_seed(0)
    layer, x = {
        "linear": lambda: (nn.Linear(4, 8), torch.rand(6, 4)),
        "convolution": lambda: (nn.Conv2d(4, 8, 1), torch.rand(6, 4, 5, 5)),
        "sequence": lambda: (nn.Linear(4, 8), torch.rand(6, 5, 4)),
        "sequence of channels": lambda: (nn.Conv1d(4, 8, 1), torch.rand(6, 4, 5)),
        "lstm": lambda: (nn.Linear(4, 8), torch.rand(3, 7, 2, 4)),
    }[kind]()
    with torch.no_grad():
        layer.bias.fill_(5.0)
        layer.bias[[1, 3]] = -1000.0
    model = nn.Sequential(OrderedDict(layer=layer, act=nn.ReLU()))
    run = trained_closely(model, x, 1.0)
    assert run.last("dead_units", "act") == 2 / 8
    assert run.series("dead_units", "act").steps.tolist() == [9, 10, 11]
    assert np.flatnonzero(run.last_vector("unit_activity", "act") == 0).tolist() == [1, 3]
    assert run.last("saturated_units", "act") is None


def test_a_unit_that_wakes_once_in_the_window_is_not_dead():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with closely_watched(model, optimizer) as inspector:
        for step in range(25):
            sign = -1.0 if step == 4 else 1.0
            model(sign * torch.ones(3, 1)).sum().backward()
            optimizer.step()
    dead = inspector.run.series("dead_units", "1")
    assert dict(zip(dead.steps.tolist(), dead.values.tolist(), strict=True)) == {
        step: (0.0 if step < 14 else 0.5) for step in range(9, 25)
    }


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.Tanh(), nn.Hardtanh(), nn.Hardsigmoid(), nn.Softsign()])
def test_saturated_units(activation):
    model = nn.Sequential(nn.Linear(1, 4), activation)
    with torch.no_grad():
        model[0].weight.fill_(0.1)
        model[0].bias.copy_(torch.tensor([0.1, 900.0, -900.0, 0.2]))
    run = trained_closely(model, torch.rand(8, 1), 0.0)
    assert run.last("saturated_units", "1") == 0.5
    assert run.last("dead_units", "1") is None
    assert run.last_vector("unit_activity", "1").tolist() == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Sigmoid()])
def test_a_unit_that_is_not_a_number_is_not_dead(activation):
    model = nn.Sequential(nn.Linear(1, 4), activation)
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([1.0, math.nan, -900.0, math.inf]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1) as inspector:
        for _ in range(10):
            model(torch.rand(8, 1)).sum().backward()
            optimizer.step()
    quantity, resting = ("dead_units", [2]) if isinstance(activation, nn.ReLU) else ("saturated_units", [2, 3])
    assert inspector.run.last(quantity, "1") == len(resting) / 4
    assert np.flatnonzero(inspector.run.last_vector("unit_activity", "1") == 0).tolist() == resting


def test_many_units_are_shown_by_some_of_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3000), nn.ReLU())
    with torch.no_grad():
        model[0].bias[:1500] = -100.0
    run = trained_closely(model, torch.rand(4, 2), 1.0)
    assert run.last_vector("unit_activity", "1").shape == (256,)
    assert run.last("dead_units", "1") == pytest.approx(0.5 + 0.5 * 0.25, abs=0.12)
