import math
import time

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector import ArgumentError, ExperimentError
from nn_inspector.experiments import (
    Arm,
    BatchSource,
    Start,
    isolated,
    lowest_loss,
    set_option,
    train,
    try_remedy,
    without_regularization,
)
from nn_inspector.probes import CallMode
from nn_inspector.training import Training
from tests.trainings import CLASSES, FEATURES, blobs, classifier


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


def yes_or_no(lr):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid()
    )
    x = torch.randn(96, FEATURES)
    loader = DataLoader(TensorDataset(x, (x[:, :1] > 0).float()), 16)
    return Training(model, torch.optim.SGD(model.parameters(), lr), nn.BCELoss(), train_loader=loader)


def test_a_training_that_is_lost_ends_with_infinity_where_its_loss_refuses_what_comes_out():
    training = yes_or_no(lr=1e20)
    with isolated(training) as copied:
        losses = train(copied, BatchSource(training.train_loader).mixed(6), steps=20)
    assert losses[-1] == math.inf
    assert 1 < len(losses) < 21


def test_a_loss_that_refuses_its_batch_is_said():
    training = yes_or_no(lr=0.1)
    with isolated(training) as copied, pytest.raises(ExperimentError, match="between 0 and 1"):
        train(copied, [(torch.randn(4, FEATURES), torch.full((4, 1), 2.0))], steps=3)


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


class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimization: it looks at the loss twice."""

    def __init__(self, parameters, rho=0.05, **options):
        super().__init__(parameters, {"rho": rho, **options})
        self.base_optimizer = torch.optim.SGD(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def _twice(self, closure):
        moved = []
        for group in self.param_groups:
            for p in group["params"]:
                moved.append((p, p.detach().clone()))
                p.add_(group["rho"] * p.grad.sign())
        self.zero_grad()
        with torch.enable_grad():
            closure()
        for p, old in moved:
            p.copy_(old)
        self.base_optimizer.step()


class Mandatory(Sam):
    def step(self, closure):
        self._twice(closure)


class Checked(Sam):
    def step(self, closure=None):
        assert closure is not None, "SAM needs a closure"
        self._twice(closure)


class WithModel(torch.optim.SGD):
    def step(self, closure=None, *, model):
        super().step(closure)


@pytest.mark.parametrize("kind", [Mandatory, Checked])
def test_an_optimizer_that_needs_a_closure_gets_one(kind):
    case = classifier()
    optimizer = kind(case.model.parameters(), lr=0.2)
    training = Training(case.model, optimizer, case.loss_fn, train_loader=case.train_loader)
    before = [p.detach().clone() for p in case.model.parameters()]
    with isolated(training) as copied:
        assert copied.optimizers[0].base_optimizer is not optimizer.base_optimizer
        assert copied.optimizers[0].param_groups is copied.optimizers[0].base_optimizer.param_groups
        losses = train(copied, BatchSource(case.train_loader).mixed(1, size=32), steps=20)
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, case.model.parameters(), strict=True))


def test_an_optimizer_that_needs_more_is_said_to():
    case = classifier()
    training = Training(case.model, WithModel(case.model.parameters(), lr=0.1), case.loss_fn)
    with isolated(training) as copied, pytest.raises(ExperimentError, match=r"copy of WithModel could not make a step"):
        train(copied, [blobs(16).tensors], steps=1)


def test_a_loss_without_a_gradient_is_said():
    case = classifier()
    training = Training(case.model, case.optimizer, step=lambda model, batch: model(batch[0]).detach().sum())
    with isolated(training) as copied, pytest.raises(ExperimentError, match="does not depend on any parameter"):
        train(copied, [blobs(16).tensors], steps=1)


def test_a_state_that_reaches_back_into_an_earlier_batch_is_said():
    class Carries(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.state = nn.Linear(FEATURES, CLASSES), None

        def forward(self, x):
            output = self.layer(x)
            output = output if self.state is None else output + self.state.tanh().mean()
            self.state = output
            return output

    model, case = Carries(), classifier()
    training = Training(
        model, torch.optim.SGD(model.parameters(), lr=0.1), case.loss_fn, train_loader=case.train_loader
    )
    batches, _ = BatchSource(training.train_loader).for_training(3)
    with isolated(training) as copied, pytest.raises(ExperimentError, match="from batch to batch, detach"):
        train(copied, batches, steps=3)


@pytest.mark.parametrize("steps", [0, -1, None])
def test_no_steps_are_refused(steps):
    with isolated(subject()) as copied, pytest.raises(ArgumentError, match="steps: expected a whole number from 1"):
        train(copied, [blobs(16).tensors], steps=steps)


@pytest.mark.parametrize("seconds", [None, "long", float("nan")])
def test_a_time_that_is_none_is_refused(seconds):
    batches = [blobs(16).tensors]
    with pytest.raises(ArgumentError, match="seconds: expected a number of seconds"):
        try_remedy(
            subject(), Arm(batches, batches[0]), Arm(batches, batches[0]), steps=1, start=Start(), seconds=seconds
        )


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
        (nn.NLLLoss(), torch.tensor([0, 1, 2, 3]), 0.0),
        (nn.KLDivLoss(reduction="batchmean"), torch.full((4, CLASSES), 1 / CLASSES), 0.0),
        (nn.MSELoss(), 1e4 * torch.eye(4)[:, :CLASSES] - 5e3, 0.0),
        (nn.PoissonNLLLoss(), torch.full((4, CLASSES), 2.0), 2 - 2 * math.log(2)),
    ],
    ids=[
        "cross entropy",
        "label smoothing",
        "squares",
        "soft labels",
        "absolute",
        "log-probabilities",
        "divergence",
        "large targets",
        "counts",
    ],
)
def test_the_lowest_loss_is_found(loss_fn, target, lowest):
    calls = []
    with CallMode(calls.append):
        start = loss_fn(torch.zeros(4, CLASSES).log_softmax(1), target)
    assert lowest_loss(calls[0]) == pytest.approx(lowest, abs=max(0.02, 1e-3 * start.item()))


def test_a_remedy_that_helps_and_one_that_does_not():
    training = subject(lr=1e-7)
    batches, judge = BatchSource(training.train_loader).for_training(10)

    def faster(copied):
        set_option(copied, "lr", 0.5)

    helped = try_remedy(training, Arm(batches, judge), Arm(batches, judge, faster), steps=20, start=Start(), seconds=20)
    useless = try_remedy(training, Arm(batches, judge), Arm(batches, judge), steps=5, start=Start(), seconds=20)
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
        start=Start(),
        seconds=20,
    )
    assert trial.helped
    assert not math.isfinite(trial.without[-1])


def test_no_time_no_trial():
    training = subject()
    batches, judge = BatchSource(training.train_loader).for_training(10)
    assert try_remedy(training, Arm(batches, judge), Arm(batches, judge), steps=5, start=Start(), seconds=-1) is None
