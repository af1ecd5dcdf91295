import numpy as np
import pytest
import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import Race
from nn_inspector.checks.train.decay_pull import pull_at_start, strongest_decay, usual
from nn_inspector.checks.train.dropout_share import _severity
from nn_inspector.checks.train.regularization_share import penalty_share
from tests.trainings import Case, assert_equal, blobs, classifier, mlp, state_of


def adamw(weight_decay, lr=0.01):
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    loader = torch.utils.data.DataLoader(blobs(), batch_size=16, shuffle=True)
    return Case(model, optimizer, nn.CrossEntropyLoss(), loader)


def with_penalty(factor):
    def loop(c):
        for _ in range(4):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                penalty = sum(p.pow(2).sum() for p in c.model.parameters())
                (c.loss_fn(c.model(x), y) + factor * penalty).backward()
                c.optimizer.step()

    return loop


def scaled(c):
    """As a gradient scaler does: the objective is the loss times a large number."""
    for _ in range(2):
        for x, y in c.train_loader:
            c.optimizer.zero_grad()
            (c.loss_fn(c.model(x), y) * 1024.0).backward()
            for p in c.model.parameters():
                p.grad /= 1024.0
            c.optimizer.step()


@pytest.mark.parametrize(
    "case",
    [classifier(), classifier(weight_decay=1e-4), classifier(weight_decay=1e-3), adamw(0.01)],
    ids=["none", "1e-4", "1e-3", "adamw"],
)
def test_usual_weight_decay_passes(watched, case):
    finding = watched(case, lambda c: c.run(10)).check("regularization_share")
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize("case", [classifier(weight_decay=2.0), adamw(30.0)], ids=["sgd", "adamw"])
def test_weight_decay_that_rules_is_an_error_with_a_tried_remedy(watched, case):
    finding = watched(case, lambda c: c.run(10)).check("regularization_share")
    assert finding.severity == "error", finding.message
    assert finding.remedy.tried.helped
    assert 'group["weight_decay"] = 1e-4' in finding.remedy.code
    assert f"weight_decay={case.optimizer.param_groups[0]['weight_decay']:g}" in finding.message


def test_it_is_found_beside_gradients_that_are_never_cleared(watched):
    finding = watched(classifier(weight_decay=1.0), lambda c: c.run(10, zero_grad=False)).check("regularization_share")
    assert finding.severity == "error", finding.message


def test_without_a_trial_it_is_a_warning_at_most(watched):
    inspector = watched(classifier(weight_decay=30.0), lambda c: c.run(10))
    assert inspector.check("regularization_share", seconds=0).severity == "warning"


def test_the_measured_pull_agrees_with_the_formula(watched):
    case = classifier(weight_decay=0.5)
    model = mlp()
    inspector = watched(case, every=1)
    x, y = blobs(16).tensors
    nn.CrossEntropyLoss()(model(x), y).backward()
    weights = torch.cat([p.detach().flatten() for p in model.parameters()]).norm()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    case.loss_fn(case.model(x), y).backward()
    case.optimizer.step()
    inspector.settle()
    assert strongest_decay(inspector.run)[0] == pytest.approx((0.5 * weights / gradient).item(), rel=1e-4)


@pytest.mark.parametrize(
    "loop", [lambda c: c.run(3), lambda c: c.run(3, zero_grad=False)], ids=["sound", "gradients kept"]
)
def test_the_pull_at_the_start_does_not_depend_on_the_loop(watched, loop):
    case = classifier(weight_decay=0.5)
    model = mlp()
    inspector = watched(case, loop)
    subject = Subject(inspector.training, inspector.run, 10.0)
    (x, y), weights = blobs(96).tensors, torch.nn.utils.parameters_to_vector(model.parameters())
    nn.CrossEntropyLoss()(model(x), y).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert pull_at_start(subject) == pytest.approx((0.5 * weights.norm() / gradient).item(), rel=0.4)
    assert pull_at_start(Subject(inspector.training, inspector.run, 0.0)) == 0


def test_the_pull_apart_from_the_gradient_agrees_with_the_formula(watched):
    """AdamW's first step moves each weight by lr * sign(gradient), beside lr * decay * weight."""
    case = adamw(0.5, lr=1e-3)
    inspector = watched(case, every=1)
    x, y = blobs(16).tensors
    weights = torch.cat([p.detach().flatten() for p in case.model.parameters()]).norm()
    case.loss_fn(case.model(x), y).backward()
    moved = torch.cat([p.grad.flatten() for p in case.model.parameters()]).count_nonzero().sqrt()
    case.optimizer.step()
    inspector.settle()
    assert strongest_decay(inspector.run)[0] == pytest.approx((0.5 * weights / moved).item(), rel=0.1)


def test_a_penalty_in_the_loss_is_measured_and_named(watched):
    inspector = watched(classifier(), with_penalty(5.0))
    assert penalty_share(inspector.run) > 10
    finding = inspector.check("regularization_share")
    assert finding.severity == "error"
    assert "times the loss itself" in finding.message


def test_a_penalty_that_costs_much_is_named_with_what_the_loss_does_without_it(watched):
    finding = watched(classifier(), with_penalty(0.5)).check("regularization_share", seconds=300)
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped
    assert "steps with the remedy learned" in finding.message


def test_a_penalty_that_could_not_be_left_out_is_not_called_harmless(watched):
    finding = watched(classifier(), with_penalty(0.5)).check("regularization_share", seconds=0)
    assert finding.severity == "info"
    assert finding.message.startswith("Perhaps: what is added to the loss is")
    assert "could not be tried" in finding.message


def test_the_rate_of_each_step_counts_not_the_last_one(watched):
    case = adamw(30.0)
    schedule = torch.optim.lr_scheduler.LinearLR(case.optimizer, 1.0, 1e-6, 40)

    def loop(c):
        for _ in range(8):
            c.run(1)
            for _ in range(6):
                schedule.step()

    inspector = watched(case, loop)
    assert strongest_decay(inspector.run).max() > 5
    assert inspector.check("regularization_share", seconds=300).severity == "error"


def test_a_small_penalty_in_the_loss_passes(watched):
    inspector = watched(classifier(), with_penalty(1e-4))
    assert 0 < penalty_share(inspector.run) < 0.1
    assert inspector.check("regularization_share").severity == "ok"


def test_a_loss_that_is_only_scaled_has_no_penalty(watched):
    inspector = watched(classifier(), scaled)
    assert penalty_share(inspector.run) is None
    assert inspector.check("regularization_share").severity == "ok"


def test_a_layer_that_is_dead_does_not_decide_alone():
    assert usual(np.array([np.inf, 0.1, 0.1])) == pytest.approx(0.1)


def test_the_beginning_counts_when_the_weights_have_shrunk_since():
    assert usual(np.array([20.0] * 20 + [1.0] * 500)) == 20.0


def test_before_training_it_says_what_to_do(watched):
    finding = watched(classifier(weight_decay=1.0)).check("regularization_share")
    assert finding.severity == "skipped"
    assert "Run your training loop" in finding.message


def dropped(p, lr=0.1):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Dropout(p), nn.Linear(16, 16), nn.ReLU(), nn.Dropout(p), nn.Linear(16, 4)
    )
    loader = torch.utils.data.DataLoader(blobs(), batch_size=16, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=lr), nn.CrossEntropyLoss(), loader)


def test_dropout_that_leaves_next_to_nothing_is_an_error(watched):
    case = dropped(0.97)
    inspector = watched(case, lambda c: c.run(10))
    before = state_of(case)
    finding = inspector.check("regularization_share")
    assert_equal(before, state_of(case))
    assert finding.severity == "error", finding.message
    assert "dropout takes 97% of the signal away (2.p = 0.97, and 1 more like it)" in finding.message
    assert "not the share that is kept" in finding.remedy.text
    assert finding.remedy.tried.helped
    assert finding.where == "2.p"


def test_a_share_that_was_to_be_kept_is_a_warning(watched):
    finding = watched(dropped(0.9), lambda c: c.run(40)).check("regularization_share")
    assert finding.severity == "warning", finding.message
    assert "dropout takes 90% of the signal away" in finding.message
    assert finding.remedy.tried.treated[-1] < 0.5 * finding.remedy.tried.without[-1]


@pytest.mark.parametrize(
    ("left", "treated", "p", "severity"),
    [
        (0.9, 0.1, 0.75, "error"),
        (0.5, 0.1, 0.8, "warning"),
        (0.25, 0.01, 0.8, "warning"),
        (0.25, 0.01, 0.75, "info"),
        (0.25, 0.2, 0.9, "info"),
        (0.1, 0.0, 0.9, "info"),
    ],
)
def test_what_is_left_to_learn_says_how_bad_dropout_is(left, treated, p, severity):
    assert _severity(Race([1.0, 1.0], [1.0, treated], left, 240, "classes"), p) == severity


@pytest.mark.parametrize(("p", "lr", "severity"), [(0.5, 0.1, "ok"), (0.75, 0.1, "info"), (0.97, 1e-6, "info")])
def test_usual_dropout_and_dropout_that_is_not_at_fault_pass(watched, p, lr, severity):
    finding = watched(dropped(p, lr), lambda c: c.run(20)).check("regularization_share")
    assert finding.severity == severity, finding.message
