import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import Case, assert_equal, state_of

TAGS = 6


def tagged(*, often=0.03, loss=None, strength=0.5, sigmoid=False, one_hot=False):
    """Each tag adds a direction of its own to the input."""
    torch.manual_seed(0)
    y = (torch.rand(3000, TAGS) < often).float()
    if one_hot:
        y = torch.eye(TAGS)[torch.multinomial(torch.tensor([0.9] + [0.02] * (TAGS - 1)), 3000, replacement=True)]
    x = torch.randn(3000, 24) + y @ (strength * torch.randn(TAGS, 24))
    model = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, TAGS), *[nn.Sigmoid()] * sigmoid)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    loss = loss or (nn.BCELoss() if sigmoid else nn.BCEWithLogitsLoss())
    return Case(model, torch.optim.Adam(model.parameters(), lr=2e-3), loss, loader)


def right(predicted, y):
    return ((predicted > 0) == (y > 0)).float().mean()


def checked(case, *, half=True, epochs=3):
    def train():
        for _ in range(epochs):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()

    def train_and_count():
        for _ in range(epochs):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                predicted = case.model(x)
                case.loss_fn(predicted, y).backward()
                case.optimizer.step()
                right(predicted, y)

    loop = train_and_count if half else train
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=loop, show=False
    ) as inspector:
        loop()
        before = state_of(case)
        finding = inspector.check("label_balance", seconds=120.0)
    assert_equal(before, state_of(case))
    return finding


@pytest.mark.parametrize("sigmoid", [False, True])
def test_rare_tags_that_are_never_found_are_named_where_one_half_decides(sigmoid):
    finding = checked(tagged(sigmoid=sigmoid))
    assert (finding.severity, finding.basis) == ("warning", "experiment"), finding.message
    assert "of all answers should be yes, and your network finds 0% of these" in finding.message
    assert "pos_weight" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.evidence["rare_found_if_weighed"] > 0.55


def test_where_ranks_may_decide_it_is_a_remark():
    finding = checked(tagged(), half=False)
    assert finding.severity == "info"
    assert "by ranks alone" in finding.message


@pytest.mark.parametrize(
    ("case", "severity"),
    [
        (tagged(strength=2.0), "info"),
        (tagged(strength=0.0), "info"),
        (tagged(often=0.4), "ok"),
        (tagged(loss=nn.BCEWithLogitsLoss(pos_weight=torch.full((TAGS,), 30.0))), "skipped"),
        (tagged(one_hot=True, strength=2.0), "info"),
    ],
    ids=["found", "cannot be found", "not rare", "weighed", "one class each"],
)
def test_tags_that_are_found_weighed_or_none_are_well(case, severity):
    finding = checked(case)
    assert finding.severity in (severity, "ok"), finding.message
