import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, state_of

ITEMS, WRONG = 320, 0.7


def net(seed=0, hidden=64):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(FEATURES, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


def taught():
    x, y = blobs(400, seed=3, spread=1.2).tensors
    teacher = net(1)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(teacher(x), y).backward()
        optimizer.step()
    return teacher.requires_grad_(requires_grad=False).eval()


TEACHER = taught()


def case(*, wrong=WRONG, seed=0):
    """A student, its data with labels that are often wrong, and others with right ones."""
    x, y = blobs(ITEMS, seed=5, spread=1.2).tensors
    generator = torch.Generator().manual_seed(seed)
    bad = torch.rand(ITEMS, generator=generator) < wrong
    labels = torch.where(bad, torch.randint(0, CLASSES, (ITEMS,), generator=generator), y)
    student = net(2)
    loader = DataLoader(TensorDataset(x, labels), batch_size=32, shuffle=True)
    later = DataLoader(blobs(400, seed=7, spread=1.2), batch_size=200)
    return Case(student, torch.optim.Adam(student.parameters(), lr=5e-3), None, loader), later


def distilled(t, alpha=0.9, factor=1.0, *, reduction="batchmean"):
    def loss(model, x, y):
        out = model(x)
        with torch.no_grad():
            answers = TEACHER(x)
        soft = F.kl_div(F.log_softmax(out / t, dim=1), F.softmax(answers / t, dim=1), reduction=reduction)
        return alpha * soft * factor + (1 - alpha) * F.cross_entropy(out, y)

    return loss


def by_cross_entropy(model, x, y):
    out = model(x)
    with torch.no_grad():
        answers = TEACHER(x)
    return 0.9 * F.cross_entropy(out / 10, (answers / 10).softmax(1)) + 0.1 * F.cross_entropy(out, y)


def by_products(model, x, y):
    out = model(x)
    soft = nn.KLDivLoss(reduction="batchmean", log_target=True)(
        (out * 0.1).log_softmax(1), (TEACHER(x).detach() * 0.1).log_softmax(1)
    )
    return F.cross_entropy(out, y) * 0.1 + soft


def hard_alone(model, x, y):
    return F.cross_entropy(model(x), y)


def other_temperatures(model, x, y):
    out = model(x)
    soft = F.kl_div(F.log_softmax(out / 8, dim=1), F.softmax(TEACHER(x), dim=1), reduction="batchmean")
    return 0.9 * soft + 0.1 * F.cross_entropy(out, y)


def checked(loss, *, validation=True, seconds=300.0, epochs=20, **options):
    made, later = case(**options)
    loaders = {"train_loader": made.train_loader, **({"val_loader": later} if validation else {})}
    with nni.watch(made.model, made.optimizer, None, show=False, **loaders) as inspector:
        for _ in range(epochs):
            for x, y in made.train_loader:
                made.optimizer.zero_grad()
                loss(made.model, x, y).backward()
                made.optimizer.step()
        before = state_of(made)
        finding = inspector.check("loss_terms", seconds=seconds)
        assert_equal(before, state_of(made))
    return finding


@pytest.mark.parametrize("loss", [distilled(10.0), by_cross_entropy, by_products], ids=["kl", "ce", "products"])
def test_a_teacher_that_is_drowned_is_found(loss):
    finding = checked(loss)
    assert finding.severity in ("error", "warning"), finding.message
    assert "temperature of 10" in finding.message
    assert "T ** 2" in finding.remedy.code
    assert finding.remedy.tried.helped


SOUND = {
    "with the square": (distilled(10.0, factor=100.0), {}),
    "with the square in one factor": (distilled(10.0, alpha=0.01, factor=100.0), {"wrong": 0.0}),
    "right labels": (distilled(10.0), {"wrong": 0.0}),
    "a temperature of 1": (distilled(1.0), {}),
    "hard labels alone": (hard_alone, {}),
    "other temperatures": (other_temperatures, {}),
    "no validation data": (distilled(10.0), {"validation": False}),
    "no time": (distilled(10.0), {"seconds": 0.0}),
    "hardly begun": (distilled(10.0), {"epochs": 1, "wrong": 0.0}),
}


@pytest.mark.parametrize("name", SOUND)
def test_others_are_not(name):
    loss, options = SOUND[name]
    finding = checked(loss, **options)
    assert "temperature" not in finding.message
    assert name not in ("with the square", "right labels") or finding.severity in ("ok", "info"), finding.message
