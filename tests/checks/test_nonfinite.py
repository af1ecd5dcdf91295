import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, ITEMS, Case, blobs, classifier, mlp, state_of


def case(model=None, loss_fn=None, data=None, lr=0.1):
    model = model or mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    loader = DataLoader(data or blobs(), batch_size=16, shuffle=True)
    return Case(model, optimizer, loss_fn or nn.CrossEntropyLoss(), loader)


def spoiled(*, targets=False):
    x, y = (tensor.clone().float() for tensor in blobs().tensors)
    (y if targets else x)[5] = math.nan
    return TensorDataset(x, y if targets else y.long())


def logarithm(prediction, target):
    return -torch.log(prediction)[torch.arange(len(target)), target].mean()


def distance(prediction, target):
    return (prediction * 0).pow(2).sum(1).sqrt().mean() + prediction.pow(2).mean()


class Quotient(nn.Module):
    def forward(self, x):
        return x / (x.relu() + 0.0)


@pytest.mark.parametrize(
    ("broken", "said", "line", "advice"),
    [
        (
            case(loss_fn=logarithm),
            "with log (test_nonfinite.py line",
            "return -torch.log(prediction)",
            "cross_entropy(logits",
        ),
        (
            case(loss_fn=distance),
            "the derivative of sqrt (test_nonfinite.py line",
            "sqrt().mean()",
            "torch.sqrt(x + 1e-8)",
        ),
        (
            case(nn.Sequential(nn.Linear(FEATURES, 8), Quotient(), nn.Linear(8, CLASSES))),
            "with div (test_nonfinite.py line",
            "return x / (x.relu() + 0.0)",
            "divisor + 1e-8",
        ),
    ],
    ids=["logarithm", "root", "division"],
)
def test_the_operation_is_named_with_its_line_and_what_to_do(watched, broken, said, line, advice):
    finding = watched(broken, lambda c: c.run(1)).check("nonfinite")
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment", "a copy has met it, too"
    assert said in finding.message
    assert line in finding.where
    assert advice in finding.remedy.code


@pytest.mark.parametrize("targets", [False, True])
def test_nan_in_the_data_is_said_first(watched, targets):
    model = nn.Sequential(nn.Linear(FEATURES, 1), nn.Flatten(0)) if targets else None
    broken = case(model, nn.MSELoss() if targets else None, spoiled(targets=targets))
    finding = watched(broken, lambda c: c.run(1)).check("nonfinite")
    assert finding.severity == "error"
    assert f"1 {'targets' if targets else 'inputs'} of {ITEMS} items" in finding.message
    assert finding.where == "train_loader"
    assert "isfinite" in finding.remedy.code


def test_a_logarithm_of_zero_stands_before_the_rate_that_leads_there():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=generator)
    y = (x[:, :4].sum(1) > 0).float()
    torch.manual_seed(0)
    made = case(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)), data=TensorDataset(3 * x, y))
    made.optimizer = torch.optim.Adam(made.model.parameters(), lr=0.1)

    def train():
        for _ in range(10):
            for x, y in made.train_loader:
                p = torch.sigmoid(made.model(x)[:, 0])
                made.optimizer.zero_grad()
                loss = -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()
                loss.backward()
                made.optimizer.step()

    with nni.watch(made.model, made.optimizer, train_loader=made.train_loader, loop=train, show=False) as inspector:
        train()
        diagnosis = inspector.diagnose(budget=60.0)
    assert diagnosis.findings[0].check == "nonfinite", str(diagnosis)


def test_a_loss_that_grew_first_is_said_to_have_blown_up(watched):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 1), nn.Flatten(0))
    x, y = blobs().tensors
    broken = case(model, nn.MSELoss(), TensorDataset(10 * x, y.float()), lr=1.0)
    finding = watched(broken, lambda c: c.run(10)).check("nonfinite")
    assert finding.severity == "error"
    assert "The loss had grown before" in finding.message
    assert "clip_grad_norm_" in finding.remedy.code


def by_hand(c):
    """A loss that is written in the loop."""
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = -torch.log(c.model(x))[torch.arange(len(y)), y].mean()
        loss.backward()
        c.optimizer.step()


def test_of_a_loss_written_in_the_loop_the_risky_call_is_named(watched):
    broken = case()
    broken.loss_fn = None
    with nni.watch(broken.model, broken.optimizer, train_loader=broken.train_loader, loop=by_hand) as inspector:
        by_hand(broken)
        finding, passive = inspector.check("nonfinite"), inspector.check("nonfinite", seconds=0)
    assert finding.severity == passive.severity == "error"
    assert "It began in step 0 (epoch 1, batch 1) with log (line" in finding.message
    assert "goes through log()" in passive.message
    assert "torch.log(c.model(x))" in finding.where
    assert "torch.log(c.model(x))" in passive.where
    assert "logarithm of 0" in finding.remedy.text


def test_a_sound_training_passes(watched):
    finding = watched(classifier(), lambda c: c.run(2)).check("nonfinite")
    assert finding.severity == "ok"


class Masked(nn.Module):
    """Gives -Inf on purpose, as a mask of attention does."""

    def forward(self, x):
        return x.masked_fill(x < -0.5, -math.inf)


def test_a_mask_is_no_reason_to_say_anything(watched):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), Masked(), nn.Softmax(1), nn.Linear(8, CLASSES))
    finding = watched(case(model), lambda c: c.run(2)).check("nonfinite")
    assert finding.severity == "ok", finding.message
    assert "on purpose" in finding.message


def skipping(every):
    """A loop that passes over batches whose loss is lost."""

    def loop(c):
        for epoch in range(4):
            for number, (x, y) in enumerate(c.train_loader):
                c.optimizer.zero_grad()
                loss = F.cross_entropy(c.model(x), y)
                lost = epoch > 0 and number % every == 0
                (loss * math.inf if lost else loss).backward()
                if lost:
                    c.optimizer.zero_grad()
                c.optimizer.step()

    return loop


def test_weights_that_were_lost_and_are_finite_again_are_told_without_alarm():
    one = case()
    with nni.watch(one.model, one.optimizer, one.loss_fn, train_loader=one.train_loader) as inspector:
        one.run(2)
        inspector.run.record([Measurement(inspector.run.steps, "weight_norm", "0.weight", math.inf)])
        found = inspector.check("nonfinite")
    assert found.severity == "info"
    assert "the weights '0.weight' were not finite in step 12" in found.message.lower()


def test_what_the_loop_survives_is_no_error(watched):
    finding = watched(case(), skipping(3)).check("nonfinite")
    assert finding.severity in ("ok", "info"), finding.message


def scaled(c):
    """As a gradient scaler does it: a step with an infinite gradient is skipped."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    for _ in range(40):
        for x, y in c.train_loader:
            c.optimizer.zero_grad()
            scaler.scale(c.loss_fn(c.model(x), y)).backward()
            scaler.step(c.optimizer)
            scaler.update()


def test_steps_that_a_gradient_scaler_skips_are_right(watched):
    finding = watched(case(), scaled).check("nonfinite")
    assert finding.severity == "ok", finding.message


def test_lost_weights_count_even_if_the_loop_stopped_in_time(watched):
    broken = case()
    inspector = watched(broken, lambda c: c.run(1))
    with torch.no_grad():
        broken.model[0].weight[0, 0] = math.nan
    finding = inspector.check("nonfinite", seconds=0)
    assert finding.severity == "error"
    assert "0.weight" in finding.message


def test_the_training_is_left_as_it_was(watched):
    broken = case(loss_fn=distance)
    inspector = watched(broken, lambda c: c.run(1))
    before = state_of(broken)
    inspector.check("nonfinite")
    after = state_of(broken)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].nan_to_num(7.0), after[name].nan_to_num(7.0)) for name in before)


def test_without_a_step_it_says_what_to_do():
    with nni.watch(mlp()) as inspector:
        finding = inspector.check("nonfinite")
    assert finding.severity == "skipped"
    assert "Run your training loop" in finding.message
