import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

from nn_inspector import ExperimentError
from nn_inspector.experiments import Start, initial_state, isolated, preserved_random_state, train
from nn_inspector.history import Run
from nn_inspector.probes import Measurement
from nn_inspector.training import Training
from tests.trainings import FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def training(case=None, **options):
    case = case or classifier()
    return Training(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, **options)


def run_of(steps, **rates):
    run = Run("test", {})
    run.steps = steps
    run.record(Measurement(0, "learning_rate", source.replace("_", " "), rate) for source, rate in rates.items())
    return run


def draw():
    return torch.rand(1).item(), np.random.rand(), random.random()


def test_random_numbers_drawn_inside_are_given_back():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with preserved_random_state(7):
        inside = draw()
    outside = draw()
    with preserved_random_state(7):
        assert draw() == inside
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    assert draw() == outside


def test_random_numbers_are_given_back_after_an_error():
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), preserved_random_state(7):
        1 / 0  # noqa: B018
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)


def test_a_copy_can_be_trained_without_a_trace():
    case = classifier(momentum=0.9)
    case.run(1)
    before = state_of(case)
    gradients = [p.grad for p in case.model.parameters()]
    values = [g.clone() for g in gradients]
    with isolated(training(case)) as copied:
        for x, y in [next(iter(case.train_loader)) for _ in range(3)]:
            copied.loss((x, y)).backward()
            copied.optimizers[0].step()
        assert not torch.equal(copied.model[0].weight, case.model[0].weight)
    assert_equal(state_of(case), before)
    assert all(p.grad is g for p, g in zip(case.model.parameters(), gradients, strict=True))
    assert all(torch.equal(g, v) for g, v in zip(gradients, values, strict=True))


def test_the_copied_optimizer_steps_the_copied_parameters_with_its_own_state():
    case = classifier(momentum=0.9)
    case.run(1)
    with isolated(training(case)) as copied:
        own = {id(p) for p in copied.model.parameters()}
        assert {id(p) for group in copied.optimizers[0].param_groups for p in group["params"]} == own
        assert {id(p) for p in copied.optimizers[0].state} == own


def test_the_initial_start_has_the_first_weights_and_rates():
    case = classifier(momentum=0.9)
    subject = training(case)
    first = {name: value.clone() for name, value in case.model.state_dict().items()}
    case.run(2)
    case.optimizer.param_groups[0]["lr"] = 1e-6
    with isolated(subject, start=initial_state(subject, run_of(12))) as copied:
        assert all(torch.equal(value, first[name]) for name, value in copied.model.state_dict().items())
        assert copied.optimizers[0].param_groups[0]["lr"] == 0.1
        assert not copied.optimizers[0].state


def test_a_large_model_has_no_initial_start(monkeypatch):
    monkeypatch.setattr("nn_inspector.training.INITIAL_WEIGHTS_LIMIT", 100)
    subject = training()
    assert initial_state(subject, run_of(0)).weights == "now"
    with pytest.raises(ExperimentError, match="too large to remember"):
        initial_state(subject, run_of(1))


def test_a_model_with_new_layers_is_said_to_have_them():
    case = classifier()
    subject = training(case)
    case.model[2] = nn.Linear(16, 7)
    with (
        pytest.raises(ExperimentError, match=r"other layers now.*Call watch\(\) again"),
        isolated(subject, start=Start("initial")),
    ):
        pass


def test_what_cannot_be_copied_is_said_and_nothing_changes():
    case = classifier()
    case.model.lock = threading.Lock()
    before = state_of(case)
    with pytest.raises(ExperimentError, match="cannot be copied, so no experiment was made"), isolated(training(case)):
        pass
    assert_equal(state_of(case), before)


def test_a_copy_that_fails_midway_leaves_no_trace():
    case = classifier()
    before = state_of(case)
    with pytest.raises(RuntimeError, match="in the middle"), isolated(training(case)) as copied:
        copied.loss(next(iter(case.train_loader))).backward()
        raise RuntimeError("in the middle")
    before["random"] = torch.get_rng_state()  # the loader was iterated above, by this test
    assert_equal(state_of(case), before)


def test_a_loss_that_holds_on_to_the_original_cannot_add_to_its_gradients():
    case = classifier()
    case.run(1)
    weight = case.model[0].weight
    kept = weight.grad.clone()
    case.loss_fn = lambda output, target: nn.functional.cross_entropy(output, target) + weight.pow(2).sum()
    with isolated(training(case)) as copied:
        copied.loss(next(iter(case.train_loader))).backward()
    assert torch.equal(weight.grad, kept)


def test_a_step_that_changes_the_original_is_found_out():
    case = classifier()

    def step(model, batch):
        with torch.no_grad():
            case.model[0].weight.add_(1.0)
        return case.model(batch[0]).sum()

    before = state_of(case)
    message = r"changed your own parameter 0\.weight.*It was put back. Use its argument `model`"
    with pytest.raises(ExperimentError, match=message), isolated(training(case, step=step)) as copied:
        copied.loss(blobs(16).tensors)
    assert_equal(state_of(case), before)


def normalized():
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(0.3))
    return Case(model, torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss(), classifier().train_loader)


TRESPASSES = {
    "buffers": lambda case: case.model(torch.randn(8, FEATURES)),
    "another buffer": lambda case: setattr(case.model[1], "running_mean", torch.ones(4)),
    "another parameter": lambda case: setattr(case.model[0], "bias", nn.Parameter(torch.ones(4))),
    "a mode": lambda case: case.model.eval(),
    "freezing": lambda case: case.model[0].weight.requires_grad_(False),
    "a rate": lambda case: case.optimizer.param_groups[0].update(lr=7.0),
    "a step": lambda case: (case.loss_fn(case.model(torch.randn(8, FEATURES)), torch.zeros(8).long()).backward(),
                            case.optimizer.step()),
    "weights": lambda case: nn.init.zeros_(case.model[0].weight),
}  # fmt: skip


@pytest.mark.parametrize("kind", TRESPASSES)
def test_what_changes_all_the_same_is_put_back(kind):
    case = normalized()
    TRESPASSES["a step"](case)
    case.optimizer.zero_grad()
    subject = training(case)
    before, parts = state_of(case), [*case.model.parameters(), *case.model.buffers()]
    modes = [module.training for module in case.model.modules()]
    group = dict(case.optimizer.param_groups[0])
    with pytest.raises(ExperimentError, match="An experiment changed your own"), isolated(subject):
        TRESPASSES[kind](case)
    assert all(a is b for a, b in zip([*case.model.parameters(), *case.model.buffers()], parts, strict=True))
    assert [module.training for module in case.model.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in case.model.parameters())
    assert case.optimizer.param_groups[0] == group
    assert_equal(state_of(case), before)


def test_modules_that_are_kept_in_evaluation_mode_stay_so_in_the_copy():
    case = normalized()
    case.model[1].eval()
    with isolated(training(case)) as copied:
        mean = copied.model[1].running_mean.clone()
        train(copied, [blobs(16).tensors], steps=3, judge=blobs(16).tensors)
        assert torch.equal(copied.model[1].running_mean, mean)
        assert [module.training for module in copied.model] == [True, False, True]
    case.model.eval()
    with isolated(training(case)) as copied:
        assert all(module.training for module in copied.model.modules())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_experiment_can_be_made_where_gradients_are_off(mode):
    case = classifier()
    with mode(), isolated(training(case)) as copied:
        assert len(train(copied, [blobs(16).tensors], steps=2)) == 3
        assert torch.is_grad_enabled()


# Learning rates


def warm_up(optimizer):
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 100))


def one_cycle(optimizer):
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)


def linear(optimizer):
    torch.optim.lr_scheduler.LinearLR(optimizer, 1e-4, 1.0, 10)


@pytest.mark.parametrize("schedule", [warm_up, one_cycle, linear])
@pytest.mark.parametrize("weights", ["now", "initial"])
def test_a_warm_up_does_not_hold_a_copy_back(schedule, weights):
    case = classifier(lr=0.1)
    schedule(case.optimizer)
    rate = case.optimizer.param_groups[0]["lr"]
    with isolated(training(case), start=Start(weights)) as copied:
        assert copied.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1)
    assert case.optimizer.param_groups[0]["lr"] == rate


@pytest.mark.parametrize("steps", [0, 12])
def test_the_largest_rate_of_the_run_is_used(steps):
    case = classifier(lr=0.0)
    subject = training(case)
    run = run_of(steps, optimizer_0_group_0=0.02)
    run.record([Measurement(5, "learning_rate", "optimizer 0 group 0", 0.3), Measurement(9, "learning_rate", "optimizer 0 group 0", 0.001)])  # fmt: skip
    with isolated(subject, start=initial_state(subject, run)) as copied:
        assert copied.optimizers[0].param_groups[0]["lr"] == 0.3


def test_groups_that_were_added_later_keep_their_rate():
    model = mlp()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    subject = Training(model, optimizer, nn.CrossEntropyLoss(), train_loader=classifier().train_loader)
    optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.05})
    with isolated(subject, start=Start("initial")) as copied:
        assert [group["lr"] for group in copied.optimizers[0].param_groups] == [0.1, 0.05]


def test_a_rate_that_is_a_tensor_stays_one():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.0))
    subject = Training(model, optimizer, nn.CrossEntropyLoss(), train_loader=classifier().train_loader)
    with isolated(subject, start=Start("now", {"optimizer 0 group 0": 0.25})) as copied:
        assert copied.optimizers[0].param_groups[0]["lr"] == torch.tensor(0.25)
    assert optimizer.param_groups[0]["lr"] == 0


def test_seeding_does_not_reach_a_cuda_that_is_not_in_use_yet():
    """`torch.manual_seed` keeps a seed for it, in place of the user's."""
    script = (
        "import torch\n"
        "from nn_inspector.experiments import preserved_random_state\n"
        "torch.manual_seed(3)\n"
        "before = [call[0] if isinstance(call, tuple) else call for call in torch.cuda._queued_calls]\n"
        "with preserved_random_state(7):\n"
        "    torch.rand(1)\n"
        "after = [call[0] if isinstance(call, tuple) else call for call in torch.cuda._queued_calls]\n"
        "assert before == after and torch.cuda._lazy_seed_tracker.manual_seed_all_cb is None or before == after\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_error_of_the_users_code_is_one_sentence_with_advice():
    case = classifier()
    case.model[0] = nn.Linear(FEATURES + 1, 16)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    with (
        isolated(training(case)) as copied,
        pytest.raises(ExperimentError, match=r"RuntimeError: mat1 and mat2.*step=lambda"),
    ):
        copied.loss(next(iter(case.train_loader)))


@pytest.mark.parametrize("start", ["now", "initial"])
def test_buffers_and_modes_stay(start):
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 4)).eval()
    model[1].train()
    optimizer = torch.optim.Adam(model.parameters())
    subject = Training(model, optimizer, nn.CrossEntropyLoss(), train_loader=classifier().train_loader)
    mean, modes = model[1].running_mean.clone(), [m.training for m in model.modules()]
    with isolated(subject, start=Start(start)) as copied:
        copied.model.train()
        copied.loss(next(iter(subject.train_loader))).backward()
        assert not torch.equal(copied.model[1].running_mean, mean)
    assert torch.equal(model[1].running_mean, mean)
    assert [m.training for m in model.modules()] == modes


def test_the_hooks_on_a_copy_are_inert():
    import nn_inspector as nni

    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        with isolated(inspector.training) as copied:
            copied.loss(next(iter(case.train_loader))).backward()
            copied.optimizers[0].step()
        assert inspector.run.steps == 0
    assert mlp()(torch.zeros(1, FEATURES)).shape == (1, 4)
