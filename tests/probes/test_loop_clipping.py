import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.experiments import Start, isolated, train
from nn_inspector.probes import Clipping, TraceEntry, clipping_of
from tests.trainings import Case, classifier

NORM = ("clip", {"kind": "norm", "limit": 0.5, "norm": 3.0})
VALUE = ("clip", {"kind": "value", "limit": 0.1, "norm": None})
BACKWARD, STEP = ("backward", {}), ("step", {"optimizer": 0})


def trace(*once, steps=6):
    return [TraceEntry(step, call, facts) for step in range(steps) for call, facts in once]


@pytest.mark.parametrize(
    ("once", "expected"),
    [
        ((BACKWARD, NORM, STEP), Clipping("norm", 0.5)),
        ((BACKWARD, VALUE, STEP), Clipping("value", 0.1)),
        ((BACKWARD, ("unscale", {"explicit": True}), NORM, STEP), Clipping("norm", 0.5)),
        ((BACKWARD, BACKWARD, NORM, STEP), Clipping("norm", 0.5)),  # accumulated
        ((BACKWARD, NORM, ("unscale", {"explicit": False}), STEP), None),
        ((BACKWARD, STEP, NORM), None),
        ((NORM, BACKWARD, STEP), None),
        ((BACKWARD, ("clip", {"kind": "norm", "limit": 0.5, "norm": 0.0}), STEP), None),
        ((BACKWARD, STEP), None),
        ((), None),
    ],
)
def test_only_what_reaches_the_step_counts(once, expected):
    assert clipping_of(trace(*once)) == expected


def test_few_steps_or_a_mixture_say_nothing():
    assert clipping_of(trace(BACKWARD, NORM, STEP, steps=2)) is None
    assert clipping_of(trace(BACKWARD, NORM, STEP, steps=4) + trace(BACKWARD, STEP, steps=4)) is None
    assert clipping_of(trace(BACKWARD, NORM, STEP, steps=4) + trace(BACKWARD, VALUE, STEP, steps=4)) is None


def run(case, limit, steps=12):
    for (inputs, target), _ in zip(list(case.train_loader) * steps, range(steps), strict=False):
        case.optimizer.zero_grad()
        case.loss_fn(case.model(inputs), target).backward()
        if limit is not None:
            nn.utils.clip_grad_norm_(case.model.parameters(), limit)
        case.optimizer.step()


@pytest.mark.parametrize("limit", [None, 0.01])
def test_a_copy_clips_as_the_loop_does_until_it_is_told_not_to(limit):
    case = classifier(lr=1.0)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        run(case, limit)
        inspector.check("one_batch_fit", seconds=1)
        batch = next(iter(case.train_loader))
        moved = []
        for told in (False, True):
            with isolated(inspector.training, start=Start()) as copied:
                before = [parameter.detach().clone() for parameter in copied.model.parameters()]
                if told:
                    copied.clip(None)
                train(copied, [batch], steps=1)
                pairs = zip(before, map(torch.Tensor.detach, copied.model.parameters()), strict=True)
                moved.append(float(torch.stack([(a - b).norm() for a, b in pairs]).norm()))
    assert (moved[0] == pytest.approx(0.01, rel=1e-3)) is (limit is not None)
    assert moved[1] > 0.011


def test_a_training_that_clipping_keeps_in_bounds_is_not_said_to_diverge():
    torch.manual_seed(0)
    inputs = torch.randn(320, 8)
    loader = DataLoader(TensorDataset(inputs, 200 + 40 * inputs[:, :1]), batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.02), nn.MSELoss(), loader)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=loader, show=False) as inspector:
        run(case, 5.0, steps=400)
        finding = inspector.check("one_batch_fit")
    assert "inf after" not in finding.message
    assert finding.severity in ("ok", "info"), finding.message
