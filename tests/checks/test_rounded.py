"""Steps that are lost because the weights are in a coarse format."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, assert_equal, blobs


def finding_of(dtype, *, rate=1e-4, epochs=20, seconds=60.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.GELU(), nn.Linear(32, CLASSES)).to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    loader = DataLoader(blobs(spread=1.0), 16, shuffle=True)

    def train():
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x.to(dtype)).float(), y).backward()
                optimizer.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = inspector.check("optimizer_step", seconds=seconds)
        assert_equal(before, dict(model.state_dict()))
    return found


def test_small_steps_of_coarse_weights_are_an_error():
    finding = finding_of(torch.bfloat16)
    assert finding.severity == "error", finding.message
    assert "Your weights are bfloat16" in finding.message
    assert 0.4 < finding.evidence["lost"] <= 1
    assert "dtype=torch.bfloat16" in finding.remedy.code


@pytest.mark.parametrize(
    ("dtype", "rate"), [(torch.float32, 1e-4), (torch.bfloat16, 0.02)], ids=["fine weights", "large steps"]
)
def test_steps_that_arrive_pass(dtype, rate):
    assert finding_of(dtype, rate=rate).severity == "ok"


def test_without_time_for_a_copy_nothing_is_said():
    assert finding_of(torch.bfloat16, seconds=0.0).severity == "ok"
