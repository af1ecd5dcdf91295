import math
import time

import pytest
import torch
from torch import nn

from nn_inspector.experiments import (
    Arm,
    BatchSource,
    isolated,
    lowest_loss,
    set_option,
    train,
    try_remedy,
    without_regularization,
)
from nn_inspector.probes import CallMode
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, classifier


def subject(**options):
    case = classifier(**options)
    return Training(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader)


def test_it_trains_as_a_plain_loop_does():
    training = subject()
    batches = BatchSource(training.train_loader).mixed(4)
    with isolated(training) as copied:
        losses = train(copied, batches, steps=8)
    case = classifier()
    expected = []
    for step in range(9):
        x, y = batches[step % 4]
        case.optimizer.zero_grad()
        loss = case.loss_fn(case.model(x), y)
        expected.append(loss.item())
        loss.backward()
        case.optimizer.step()
    assert losses == expected


def test_without_zero_grad_the_gradients_add_up():
    training = subject()
    batches, judge = BatchSource(training.train_loader).for_training(4)
    curves = []
    for zero_grad in (True, False):
        with isolated(training) as copied:
            curves.append(train(copied, batches, steps=5, judge=judge, zero_grad=zero_grad))
    assert curves[0][:2] == curves[1][:2]
    assert curves[0][2:] != curves[1][2:]
    assert [len(curve) for curve in curves] == [6, 6]


def test_it_ends_early_when_told():
    training = subject()
    batches = BatchSource(training.train_loader).mixed(4)
    with isolated(training) as copied:
        assert len(train(copied, batches, steps=50, until=10.0)) == 1
    with isolated(training) as copied:
        assert len(train(copied, batches, steps=50, deadline=time.monotonic() - 1)) == 1
    with isolated(training) as copied:
        set_option(copied, "lr", 1e30)
        losses = train(copied, batches, steps=50)
        assert not math.isfinite(losses[-1])
        assert all(math.isfinite(loss) for loss in losses[:-1])


def test_regularization_is_switched_off_in_the_copy_alone():
    model = nn.Sequential(
        nn.Linear(FEATURES, 4), nn.Dropout(0.5), nn.TransformerEncoderLayer(4, 2, 8), nn.Linear(4, CLASSES)
    )
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
    with isolated(Training(model, optimizer, nn.CrossEntropyLoss())) as copied:
        without_regularization(copied)
        assert copied.model[1].p == 0.0
        assert copied.model[2].self_attn.dropout == 0.0
        assert copied.optimizers[0].param_groups[0]["weight_decay"] == 0.0
        x = torch.randn(3, FEATURES)
        assert torch.equal(copied.model(x), copied.model(x))
    assert model[1].p == 0.5
    assert optimizer.param_groups[0]["weight_decay"] == 0.3


def test_a_closure_optimizer_is_stepped_with_one():
    case = classifier()
    optimizer = torch.optim.LBFGS(case.model.parameters(), max_iter=4)
    training = Training(case.model, optimizer, case.loss_fn, train_loader=case.train_loader)
    batches = BatchSource(case.train_loader).mixed(1, size=32)
    with isolated(training) as copied:
        losses = train(copied, batches, steps=5)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("loss_fn", "target", "lowest"),
    [
        (nn.CrossEntropyLoss(), torch.tensor([0, 1, 2, 3]), 0.0),
        (
            nn.CrossEntropyLoss(label_smoothing=0.1),
            torch.tensor([0, 1, 2, 3]),
            -(0.925 * math.log(0.925) + 0.075 * math.log(0.025)),
        ),
        (nn.MSELoss(), torch.randn(4, CLASSES), 0.0),
        (nn.BCEWithLogitsLoss(), torch.full((4, CLASSES), 0.5), math.log(2)),
        (nn.L1Loss(), torch.randn(4, CLASSES), 0.0),
    ],
    ids=["cross entropy", "label smoothing", "squares", "soft labels", "absolute"],
)
def test_the_lowest_loss_is_found(loss_fn, target, lowest):
    calls = []
    with CallMode(calls.append):
        loss_fn(torch.zeros(4, CLASSES), target)
    assert lowest_loss(calls[0]) == pytest.approx(lowest, abs=0.02)


def test_a_remedy_that_helps_and_one_that_does_not():
    training = subject(lr=1e-7)
    batches, judge = BatchSource(training.train_loader).for_training(10)

    def faster(copied):
        set_option(copied, "lr", 0.5)

    helped = try_remedy(training, Arm(batches, judge), Arm(batches, judge, faster), steps=20, start="now", seconds=20)
    useless = try_remedy(training, Arm(batches, judge), Arm(batches, judge), steps=5, start="now", seconds=20)
    assert helped.helped
    assert helped.without[0] == helped.treated[0]
    assert len(helped.without) == len(helped.treated) == 21
    assert not useless.helped
    assert useless.without == useless.treated


def test_a_remedy_against_a_training_that_breaks():
    training = subject(lr=1e30)
    batches, judge = BatchSource(training.train_loader).for_training(10)
    trial = try_remedy(
        training,
        Arm(batches, judge),
        Arm(batches, judge, lambda copied: set_option(copied, "lr", 0.1)),
        steps=5,
        start="now",
        seconds=20,
    )
    assert trial.helped
    assert not math.isfinite(trial.without[-1])


def test_no_time_no_trial():
    training = subject()
    batches, judge = BatchSource(training.train_loader).for_training(10)
    assert try_remedy(training, Arm(batches, judge), Arm(batches, judge), steps=5, start="now", seconds=-1) is None
