"""Numbers at the ends of their range, and those that are none."""

import contextlib
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.trainings import FEATURES, blobs, mlp


@pytest.mark.parametrize("where", [7, 1_000_001])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_value_that_is_not_finite_is_never_missed(where, value):
    class Spoiled(nn.Module):
        def forward(self, x):
            x = x.repeat(1, 2**17 // FEATURES)
            x = x.clone()
            x.view(-1)[where] = value
            return x

    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), Spoiled())
    x = blobs(16).tensors[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, every=1) as inspector:
        model(x).mean().backward()
        optimizer.step()
    share = inspector.run.last("activation_nonfinite", "1")
    assert share >= 1 / (16 * 2**17)
    assert inspector.run.last("activation_nonfinite", "0") == 0


@pytest.mark.parametrize(
    ("dtype", "factor"), [(torch.float32, 1e22), (torch.float32, 1e-28), (torch.float64, 1e60), (torch.float64, 1e-60)]
)
def test_gradients_of_any_magnitude_are_told_as_they_are(dtype, factor):
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1, probes="full") as inspector:
        for _ in range(2):
            optimizer.zero_grad()
            (model(blobs(16).tensors[0].to(dtype)).mean() * factor).backward()
            optimizer.step()
    run = inspector.run
    for name, parameter in model.named_parameters():
        gradient = (parameter.grad.double() / factor).norm().item() * factor
        assert run.series("gradient_norm", name).values == pytest.approx([gradient] * 2, rel=1e-5, abs=0)
    assert run.nonfinite is None


def test_finite_outputs_whose_sum_is_beyond_the_range_are_finite():
    model = nn.Sequential(nn.Linear(FEATURES, 4096), nn.Linear(4096, 1))
    with torch.no_grad():
        model[0].weight.fill_(0.0)
        model[0].bias.fill_(1e35)
        model[1].weight.fill_(1e-38)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with nni.watch(model, optimizer, every=1) as inspector:
        model(blobs(16).tensors[0]).mean().backward()
        optimizer.step()
    assert inspector.run.last("activation_nonfinite", "0") == 0
    assert inspector.run.last("activation_mean", "0") == pytest.approx(1e35)
    assert inspector.run.nonfinite is None


@contextlib.contextmanager
def errors_of_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("strict", [lambda: np.errstate(all="raise"), errors_of_warnings], ids=["numbers", "warnings"])
def test_whoever_is_strict_with_numbers_or_warnings_loses_no_probe(strict, monkeypatch):
    monkeypatch.undo()
    model = mlp().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e160)
    x, y = blobs(16).tensors

    def fail():
        raise KeyError("of a view")

    with strict(), nni.watch(model, optimizer, every=1, probes="full") as inspector:
        inspector.subscribe(fail)
        for _ in range(6):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.double()), y).backward()
            optimizer.step()
        problems, findings = inspector.problems, inspector.diagnose(budget=30.0).findings
    assert inspector.run.steps == 6
    assert problems == ["A live view was switched off: KeyError: 'of a view'"]
    assert not [finding.message for finding in findings if "failed itself" in finding.message]
