import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import nn_inspector as nni
from nn_inspector.checks import find_check
from nn_inspector.checks.loop.scheduler import collapse, largest_jump, rule
from tests.checks.schedules import BATCHES, EPOCHS, case_of, finding_of, one_epoch, run
from tests.trainings import Case, assert_equal, classifier, mlp, state_of


def warm_up_and_cosine(optimizer):
    steps = EPOCHS * BATCHES
    warm = lr_scheduler.LinearLR(optimizer, 0.01, total_iters=10)
    return lr_scheduler.SequentialLR(optimizer, [warm, lr_scheduler.CosineAnnealingLR(optimizer, steps - 10)], [10])


SOUND = {
    "none": (None, "epoch"),
    "step": (lambda o: lr_scheduler.StepLR(o, 4, 0.1), "epoch"),
    "cosine": (lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS), "epoch"),
    "cosine by batch": (lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * BATCHES), "batch"),
    "one cycle": (lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=EPOCHS * BATCHES + 1), "batch"),
    "warm-up and cosine": (warm_up_and_cosine, "batch"),
    "warm restarts": (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 20), "batch"),
    "exponential": (lambda o: lr_scheduler.ExponentialLR(o, 0.8), "epoch"),
    "cyclic": (lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.1, step_size_up=20), "batch"),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_schedules_pass(name):
    make, each = SOUND[name]
    finding = finding_of(make, each=each)
    assert finding.severity == "ok", finding.message


COLLAPSED = {
    "step by batch": (lambda o: lr_scheduler.StepLR(o, 2, 0.3), "batch"),
    "horizon in epochs": (lambda o: lr_scheduler.LambdaLR(o, lambda s: max(0.0, 1 - s / EPOCHS)), "batch"),
    "falls too fast": (lambda o: lr_scheduler.ExponentialLR(o, 0.1), "epoch"),
    "linear to nothing": (lambda o: lr_scheduler.LinearLR(o, 1.0, 0.001, total_iters=5), "batch"),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_a_rate_that_is_gone_while_there_is_much_to_learn_is_an_error(name):
    make, each = COLLAPSED[name]
    finding = finding_of(make, each=each)
    assert (finding.severity, finding.basis) == ("error", "experiment")
    assert "below 1 % after" in finding.message
    assert finding.remedy.tried.helped
    assert find_check("scheduler").chart(finding) is not None


@pytest.mark.parametrize(("seconds", "severity"), [(0, "warning"), (300, "error")])
def test_without_an_experiment_it_is_a_warning(seconds, severity):
    make, each = COLLAPSED["step by batch"]
    assert finding_of(make, each=each, seconds=seconds).severity == severity


def test_a_rate_that_is_gone_when_all_is_learned_is_fine():
    finding = finding_of(lambda o: lr_scheduler.ExponentialLR(o, 0.1), lr=2.0, spread=0.1, epochs=30)
    assert finding.severity == "ok"
    assert "would bring no clear gain now" in finding.message


def test_a_rate_that_is_gone_when_most_is_learned_is_a_warning_if_the_rest_is_halved():
    """Of the first loss that is little."""
    torch.manual_seed(0)
    x = torch.randn(960, 6)
    data = torch.utils.data.TensorDataset(x, 10 + torch.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3])
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 1))
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.MSELoss(), loader)
    scheduler = lr_scheduler.LambdaLR(case.optimizer, lambda step: max(0.0, 1 - step / 2))
    with nni.watch(model, case.optimizer, case.loss_fn, train_loader=loader) as inspector:
        run(case, scheduler, epochs=20)
        finding = inspector.check("scheduler", seconds=300)
    assert finding.severity == "warning", finding.message
    assert finding.remedy.tried.treated[-1] < 0.5 * finding.remedy.tried.without[-1]


def test_a_scheduler_that_is_stepped_for_every_batch_is_named_with_its_line():
    case = case_of()
    scheduler = lr_scheduler.StepLR(case.optimizer, 2, 0.3)

    def train():
        for _ in range(EPOCHS):
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()
                scheduler.step()

    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=train) as inspector:
        train()
        finding = inspector.check("scheduler")
    assert finding.severity == "error"
    assert "stepped for every batch" in finding.message
    assert "Step the scheduler once an epoch" in finding.remedy.text
    assert finding.where == f"line {train.__code__.co_firstlineno + 6}: scheduler.step()"


def test_a_schedule_that_ends_with_the_batches_that_are_added_up_is_an_error():
    """At once, the highest rate would do harm to what is learned by then; one that falls from there does not."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(800, 5, generator=generator) * 2 - 1
    y = torch.sin(3 * x[:, :1]) * x[:, 1:2] + x[:, 2:3].abs() - 0.5 * x[:, 3:4]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y / y.std()), batch_size=16, shuffle=True)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 60))

    def train():
        for _ in range(6):
            for place, (x, y) in enumerate(loader):
                (nn.functional.mse_loss(model(x), y) / 5).backward()
                if place % 5 == 4:
                    optimizer.step()
                    optimizer.zero_grad()
                schedule.step()

    with nni.watch(model, optimizer, train_loader=loader, loop=train, show=False) as inspector:
        train()
        finding = inspector.check("scheduler", seconds=120.0)
    assert finding.severity == "error", finding.message
    assert finding.remedy.tried.helped


def noam(step):
    step = max(step, 1)
    return 0.02 * min(step**-0.5, step * 40**-1.5)


def test_a_schedule_that_returns_the_rate_itself_is_multiplied_with_the_rate():
    finding = finding_of(lambda o: lr_scheduler.LambdaLR(o, noam), each="batch")
    assert (finding.severity, finding.basis) == ("error", "experiment")
    assert "never came above 6.3e-05, though the optimizer was given 0.02" in finding.message
    assert "lr=1.0" in finding.remedy.text
    assert finding.remedy.tried.helped


@pytest.mark.parametrize("seconds", [0, 300])
def test_a_rate_of_one_that_is_meant_to_be_multiplied_passes(seconds):
    finding = finding_of(lambda o: lr_scheduler.LambdaLR(o, noam), each="batch", lr=1000.0, seconds=seconds)
    assert finding.severity == "ok", finding.message


WARMING = {
    "long warm-up": (lambda o: lr_scheduler.LambdaLR(o, lambda s: min(1.0, (s + 1) / 50_000)), "batch"),
    "cycle by epoch": (
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=50 * EPOCHS * BATCHES, div_factor=1e3),
        "epoch",
    ),
}


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("name", WARMING)
def test_a_warm_up_that_never_ends_is_an_error(name, as_list):
    make, each = WARMING[name]
    finding = finding_of(make, each=each, as_list=as_list)
    assert (finding.severity, finding.basis) == ("error", "experiment")
    assert "the warm-up is not over" in finding.message


def test_a_look_during_the_warm_up_is_no_alarm():
    make, each = WARMING["long warm-up"]
    assert finding_of(make, each=each, epochs=2).severity == "info"


def test_a_rate_that_jumps_with_the_loss_is_a_warning(watched):
    def loop(case):
        run(case, epochs=5)
        case.optimizer.param_groups[0]["lr"] = 500.0
        run(case, epochs=5)

    finding = watched(case_of(), loop).check("scheduler")
    assert finding.severity == "warning"
    assert "at step 60 the learning rate rose to 25000 times" in finding.message


def test_a_rate_that_jumps_and_helps_is_fine(watched):
    def loop(case):
        run(case, epochs=3)
        case.optimizer.param_groups[0]["lr"] = 0.1
        run(case, epochs=7)

    assert watched(case_of(lr=0.005), loop).check("scheduler").severity == "ok"


def test_a_scheduler_that_goes_first_is_a_remark():
    finding = finding_of(lambda o: lr_scheduler.ExponentialLR(o, 0.99), first=True, each="batch")
    assert finding.severity == "info"
    assert "stepped before the optimizer" in finding.message


def test_a_scheduler_that_is_never_stepped_is_a_remark():
    case = case_of()

    def train():
        scheduler = lr_scheduler.StepLR(case.optimizer, 2)  # noqa: F841
        for _ in range(3):
            one_epoch(case)

    with nni.watch(case.model, case.optimizer, case.loss_fn, loop=train) as inspector:
        train()
        finding = inspector.check("scheduler")
    assert (finding.severity, "is made and never stepped" in finding.message) == ("info", True)


def test_a_group_at_rest_does_not_hide_the_others(watched):
    model = mlp()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters(), "lr": 0.1}]
    case = Case(model, torch.optim.SGD(groups), nn.CrossEntropyLoss(), classifier().train_loader)
    finding = watched(case, lambda c: run(c, epochs=5)).check("scheduler")
    assert (finding.severity, finding.message) == ("ok", "The learning rate stayed the same.")


def test_of_few_steps_nothing_is_said(watched):
    finding = watched(classifier(), lambda case: case.run(1)).check("scheduler")
    assert (finding.severity, "Too few steps" in finding.message) == ("skipped", True)


def test_nothing_of_the_users_changes():
    case = case_of()
    scheduler = lr_scheduler.ExponentialLR(case.optimizer, 0.1)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        run(case, scheduler)
        before, rate = state_of(case), case.optimizer.param_groups[0]["lr"]
        assert inspector.check("scheduler").remedy.tried is not None
        assert_equal(state_of(case), before)
    assert case.optimizer.param_groups[0]["lr"] == rate


@pytest.mark.parametrize(
    ("rates", "share"),
    [
        ([1.0] * 10, None),
        ([1.0] * 5 + [0.001] * 5, 0.5),
        ([1.0, 0.001, 1.0, 0.001], 0.75),
        ([0.001] * 5 + [1.0], None),
        ([1.0, 0.02, 0.02], None),
    ],
)
def test_when_a_rate_collapsed(rates, share):
    assert collapse(np.array(rates)) == share


@pytest.mark.parametrize(
    ("rates", "jump"),
    [
        ([0.01] * 10 + [1.0] * 10, (10, 100.0)),
        ([0.01] + [1.0] * 19, None),
        ([1.0] * 10 + [0.01] * 5 + [1.0] * 5, None),
        ([0.0] * 10 + [1.0] * 10, None),
        ([1.0], None),
    ],
)
def test_where_a_rate_jumped(rates, jump):
    assert largest_jump(np.array(rates)) == (pytest.approx(jump) if jump else None)


@pytest.mark.parametrize(
    ("gain", "unfinished", "severity"),
    [
        (True, True, "error"),
        (True, False, "error"),
        (False, True, "ok"),
        (None, True, "warning"),
        (None, False, "info"),
    ],
)
def test_rule(gain, unfinished, severity):
    assert rule(gain, unfinished=unfinished) == severity
