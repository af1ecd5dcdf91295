import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.checks.train.hard_clip import hard_clip
from tests.trainings import Case, assert_equal, blobs, mlp, state_of


def clipped(limit, *, kind=torch.optim.SGD, lr=0.1, epochs=15, by_value=False):
    model = mlp()
    loader = DataLoader(blobs(400), 16, shuffle=True)
    case = Case(model, kind(model.parameters(), lr=lr), nn.CrossEntropyLoss(), loader)
    clip = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
    with nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader, show=False) as inspector:
        for _ in range(epochs):
            for x, y in loader:
                case.optimizer.zero_grad()
                case.loss_fn(model(x), y).backward()
                clip(model.parameters(), limit)
                case.optimizer.step()
        before = state_of(case)
        finding = inspector.check("update_ratio", seconds=120)
        assert_equal(before, state_of(case))
    return finding, inspector


def test_clipping_that_leaves_next_to_nothing_is_an_error():
    finding, _ = clipped(1e-3)
    assert finding.severity == "error", finding.message
    assert "your loop clips the gradients to a norm of 0.001" in finding.message
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"
    model = mlp()
    model(torch.zeros(2, model[0].in_features)).sum().backward()
    exec(finding.remedy.code, {"torch": torch, "model": model})


@pytest.mark.parametrize(
    ("limit", "options"),
    [(1.0, {}), (1e-3, {"kind": torch.optim.Adam, "lr": 0.01}), (0.05, {"lr": 2.0, "epochs": 40})],
    ids=["what is unusual", "steps whose size does not depend on it", "made up for by the rate"],
)
def test_clipping_that_does_no_harm_passes(limit, options):
    finding, _ = clipped(limit, **options)
    assert not finding.raised, finding.message
    assert "clips" not in finding.message


def test_clipping_by_value_has_no_norm():
    _, inspector = clipped(1e-3, by_value=True, epochs=2)
    assert hard_clip(inspector.run) is None
