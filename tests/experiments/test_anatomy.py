import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.errors import ExperimentError
from nn_inspector.experiments import anatomy, isolated, take_apart
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, blobs, classifier, state_of


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 6), nn.Linear(6, CLASSES)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        return F.softmax(self.last(torch.relu_(self.first(x))), dim=1)


def apart(model, loss_fn, batch, **options):
    with isolated(Training(model, loss_fn=loss_fn, train_loader=[batch])) as copied:
        return take_apart(copied, batch, **options)


def test_modules_and_functions_come_in_the_order_in_which_they_ran():
    batch = next(iter(DataLoader(blobs(), batch_size=8)))
    seen = apart(Functional(), nn.CrossEntropyLoss(), batch)
    assert [run.name for run in seen.modules] == ["first", "last", ""]
    assert [run.name for run in seen.leaves] == ["first", "last"]
    names = [(call.name, call.module) for call in seen.calls if call.name not in ("detach", "to", "requires_grad")]
    assert names == [
        ("linear", "first"), ("relu", ""), ("linear", "last"), ("softmax", ""), ("cross_entropy", None),
    ]  # fmt: skip
    (softmax,) = seen.named("softmax")
    assert softmax.options["dim"] == 1
    assert torch.equal(softmax.output, seen.prediction)
    assert torch.equal(seen.target, batch[1])
    assert seen.gradients["unused.weight"] is None
    assert seen.gradients["first.weight"].shape == (6, FEATURES)
    assert seen.loss == pytest.approx(F.cross_entropy(seen.prediction, batch[1]).item())


def test_what_modules_do_is_seen_as_functions_too():
    model = nn.Sequential(nn.LSTM(FEATURES, 5, batch_first=True))

    def last(output, target):
        return F.mse_loss(output[0][:, -1, 0], target)

    seen = apart(model, last, (torch.randn(3, 7, FEATURES), torch.zeros(3)))
    assert "lstm" in [call.name for call in seen.calls]
    assert seen.prediction.shape == (3,)


def test_the_mode_is_that_which_was_asked_for():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(FEATURES, CLASSES))
    batch = (torch.ones(4, FEATURES), torch.zeros(4, dtype=torch.int64))
    kept = apart(model, nn.CrossEntropyLoss(), batch, training=False).modules[0].output
    dropped = apart(model, nn.CrossEntropyLoss(), batch).modules[0].output
    assert bool((kept == 1).all())
    assert bool((dropped == 0).any())


def test_the_training_is_as_it_was():
    case = classifier()
    case.run(1)
    before = state_of(case)
    batch = next(iter([tuple(case.train_loader.dataset[:8])]))
    with isolated(Training(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader)) as copied:
        take_apart(copied, batch)
    after = state_of(case)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks for module in case.model.modules())


def test_a_pass_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(anatomy, "MOST_BYTES", 100)
    data = TensorDataset(torch.ones(64, FEATURES), torch.zeros(64, dtype=torch.int64))
    with pytest.raises(ExperimentError, match="too large to be taken apart"):
        apart(Functional(), nn.CrossEntropyLoss(), data[:])
