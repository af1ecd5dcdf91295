import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.levels import LossLevels, loss_levels, share_right
from nn_inspector.probes import LossCall
from tests.trainings import CLASSES, FEATURES, ITEMS, blobs, mlp

INPUTS, LABELS = blobs().tensors
NUMBERS = 3 * torch.randn(ITEMS, CLASSES, generator=torch.Generator().manual_seed(0)) + 5
BITS = (torch.rand(ITEMS, CLASSES, generator=torch.Generator().manual_seed(0)) < 0.1).float()


def levels_of(loss_fn, targets, *, model=None, size=12, seconds=30.0):
    loader = DataLoader(TensorDataset(INPUTS, targets), batch_size=size)
    with nni.watch(model or mlp(), None, loss_fn, train_loader=loader, show=False) as inspector:
        return loss_levels(Subject(inspector.training, inspector.run, seconds))


@pytest.mark.parametrize(
    ("loss_fn", "targets", "chance", "floor"),
    [
        (nn.CrossEntropyLoss(), LABELS, math.log(CLASSES), 0),
        (nn.CrossEntropyLoss(reduction="sum"), LABELS, 12 * math.log(CLASSES), 0),
        (nn.MSELoss(), NUMBERS, 9, 0),
        (nn.MSELoss(reduction="sum"), NUMBERS, 12 * CLASSES * 9, 0),
        (nn.BCEWithLogitsLoss(), BITS, -0.1 * math.log(0.1) - 0.9 * math.log(0.9), 0),
        (F.cross_entropy, LABELS, math.log(CLASSES), 0),
        (lambda p, t: 3 * F.cross_entropy(p, t), LABELS, math.log(CLASSES), 0),
    ],
    ids=["classes", "sum", "numbers", "sum of numbers", "rare labels", "function", "a factor is left out"],
)
def test_chance_is_what_a_constant_scores(loss_fn, targets, chance, floor):
    levels = levels_of(loss_fn, targets)
    assert levels.chance == pytest.approx(chance, rel=0.1)
    assert levels.floor == floor


@pytest.mark.parametrize(
    ("loss_fn", "targets", "floor"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.2), LABELS, 0.588),
        (nn.BCEWithLogitsLoss(), torch.full((ITEMS, CLASSES), 0.3), 0.611),
        (nn.BCEWithLogitsLoss(), 0.2 + 0.6 * BITS, 0.5004),
    ],
)
def test_soft_targets_have_a_floor_above_zero(loss_fn, targets, floor):
    levels = levels_of(loss_fn, targets)
    assert levels.floor == pytest.approx(floor, abs=0.01)
    assert levels.chance >= levels.floor


def test_batches_of_one_item_are_taken_together():
    assert levels_of(nn.MSELoss(), NUMBERS, size=1).chance > 2


@pytest.mark.parametrize(
    ("loss_fn", "options"),
    [
        (lambda p, t: (p - t).square().mean(), {}),
        (lambda p, t: F.mse_loss(p, t) + F.l1_loss(p, t), {}),
        (lambda p, t: (F.mse_loss(p, t, reduction="none") * torch.rand(ITEMS, 1)[: len(p)]).mean(), {}),
        (nn.MSELoss(), {"seconds": 0.0}),
        (nn.CrossEntropyLoss(), {"targets": torch.zeros_like(LABELS)}),
        (None, {}),
    ],
    ids=["by hand", "two terms", "weighted by hand", "no time", "one class", "no loss"],
)
def test_what_cannot_be_known_is_none(loss_fn, options):
    assert levels_of(loss_fn, **{"targets": NUMBERS, **options}) is None


def test_progress_is_the_share_of_the_way():
    levels = LossLevels(2.0, 0.5, "classes", "cross_entropy")
    assert [levels.progress(loss) for loss in (2.0, 1.25, 0.5, 3.5)] == [0, 0.5, 1, -1]
    assert levels.progress(math.nan) == levels.progress(math.inf) == -math.inf
    assert LossLevels(0.0, 0.0, "numbers", "mse_loss").progress(0.0) == -math.inf


SCORES = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "prediction", "target", "options", "right"),
    [
        ("cross_entropy", SCORES, torch.tensor([0, 1, 1]), {}, 2 / 3),
        ("cross_entropy", SCORES, torch.tensor([0, 1, -100]), {}, 1.0),
        ("cross_entropy", SCORES, torch.tensor([0, 1, 7]), {"ignore_index": 7}, 1.0),
        ("cross_entropy", SCORES, torch.eye(2)[[0, 1, 1]], {}, 2 / 3),
        ("nll_loss", SCORES, torch.tensor([0, 1, 0]), {}, 1.0),
        ("binary_cross_entropy_with_logits", torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [1.0]]), {}, 0.5),
        ("binary_cross_entropy", torch.tensor([0.6, 0.4]), torch.tensor([1.0, 0.0]), {}, 1.0),
        ("binary_cross_entropy", torch.rand(4, 3), torch.rand(4, 3), {}, None),
        ("mse_loss", SCORES, SCORES, {}, None),
    ],
)
def test_the_share_that_is_right(name, prediction, target, options, right):
    found = share_right(LossCall(name, prediction, target, options, torch.tensor(1.0)))
    assert found == (None if right is None else pytest.approx(right))


def test_the_shape_of_images_is_no_trouble():
    levels = levels_of(nn.CrossEntropyLoss(), LABELS.reshape(-1, 1).expand(-1, 5).contiguous(), model=PerPixel())
    assert levels.chance == pytest.approx(math.log(CLASSES), rel=0.1)


class PerPixel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES, CLASSES * 5)

    def forward(self, x):
        return self.layer(x).reshape(-1, CLASSES, 5)
