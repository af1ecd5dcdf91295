import numpy as np
import pytest
import torch
from torch import nn

from nn_inspector.checks.base import Subject
from nn_inspector.checks.race import Race
from nn_inspector.checks.train.decay_pull import pull_at_start, strongest_decay, usual
from nn_inspector.checks.train.dropout_share import _severity
from nn_inspector.checks.train.penalty_pull import penalty_pull
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


@pytest.mark.parametrize(("epochs", "severity"), [(120, "error"), (40, "info")])
def test_a_task_that_takes_long_is_tried_for_as_long_as_the_training_took(watched, epochs, severity):
    finding = watched(dropped(0.97, 0.005), lambda c: c.run(epochs)).check("regularization_share")
    assert finding.severity == severity, finding.message


def test_dropout_is_not_blamed_for_a_long_training_at_no_rate(watched):
    finding = watched(dropped(0.97, 1e-6), lambda c: c.run(120)).check("regularization_share")
    assert finding.severity == "info", finding.message


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


class FitWithPenalty:
    """A loss written by hand that calls the model itself, as those of recommenders do."""

    def __init__(self, model, factor, *, of_batch=False):
        self.model, self.factor, self.of_batch = model, factor, of_batch

    def __call__(self, x, y):
        fit = (self.model(x) - y).square().mean()
        penalty = sum(p.square().sum() for p in self.model.parameters())
        if self.of_batch:
            penalty = self.model(x).square().mean()
        return fit + self.factor * penalty, fit


def fitted_by_hand(factor, *, of_batch=False, lr=0.05):
    torch.manual_seed(0)
    x = torch.randn(240, 6)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, x[:, :2].sum(1, keepdim=True)), batch_size=20, shuffle=True
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return Case(model, optimizer, FitWithPenalty(model, factor, of_batch=of_batch), loader)


def by_hand(c):
    for _ in range(8):
        for x, y in c.train_loader:
            c.optimizer.zero_grad()
            loss, _ = c.loss_fn(x, y)
            loss.backward()
            c.optimizer.step()


def test_a_penalty_within_a_loss_written_by_hand_that_rules_is_an_error(watched):
    case = fitted_by_hand(2.0)
    inspector = watched(case, by_hand)
    before = state_of(case)
    finding = inspector.check("regularization_share")
    assert_equal(before, state_of(case))
    assert finding.severity == "error", finding.message
    assert finding.message.startswith("Yes: what your loss adds for the weights alone pulls with")
    assert finding.evidence["penalty_to_gradient"] > 0.1
    assert finding.remedy.tried.helped


@pytest.mark.parametrize("factor", [1e-6, 1e-3], ids=["weak", "stronger, but harmless"])
def test_a_penalty_within_a_loss_written_by_hand_may_be_sound(watched, factor):
    finding = watched(fitted_by_hand(factor), by_hand).check("regularization_share")
    assert finding.severity in ("ok", "info"), finding.message
    assert "for the weights alone" in finding.message


@pytest.mark.parametrize(
    "case", [fitted_by_hand(0.0, of_batch=True), fitted_by_hand(0.1, of_batch=True)], ids=["nothing", "of the batch"]
)
def test_what_depends_on_the_batch_is_no_penalty_on_the_weights(watched, case):
    finding = watched(case, by_hand).check("regularization_share")
    assert finding.message == "No: there is no weight decay, and no penalty was seen in the loss."


def test_the_pull_of_a_penalty_agrees_with_the_formula(watched):
    case = fitted_by_hand(0.5, lr=0.0)
    inspector = watched(case, by_hand)
    subject = Subject(inspector.training, inspector.run, 10.0)
    x, y = case.train_loader.dataset.tensors
    case.optimizer.zero_grad()
    (case.model(x) - y).square().mean().backward()
    weights = torch.nn.utils.parameters_to_vector(case.model.parameters())
    data = torch.cat([p.grad.flatten() for p in case.model.parameters()])
    assert penalty_pull(subject) == pytest.approx(float(weights.norm() / data.norm()), rel=0.1)


def test_without_time_or_with_a_step_of_ones_own_the_pull_of_a_penalty_is_not_known(watched):
    case = fitted_by_hand(0.5)
    inspector = watched(case, by_hand)
    assert penalty_pull(Subject(inspector.training, inspector.run, 0.0)) is None
    inspector.detach()
    case = fitted_by_hand(0.5)
    inspector = watched(case, by_hand, step=lambda model, batch: (model(batch[0]) - batch[1]).square().mean())
    assert penalty_pull(Subject(inspector.training, inspector.run, 10.0)) is None


def test_a_penalty_of_a_training_that_gives_right_answers_is_a_remark(watched):
    """Without it the loss is always lower: that is no proof that the penalty does harm."""

    def loop(c):
        for _ in range(20):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                penalty = sum(p.abs().sum() for p in c.model.parameters())
                (c.loss_fn(c.model(x), y) + 0.02 * penalty).backward()
                c.optimizer.step()

    finding = watched(classifier(data=blobs(spread=0.1)), loop).check("regularization_share")
    assert finding.severity == "info", finding.message
    assert finding.evidence["penalty_to_loss"] >= 1
    assert finding.message.startswith("It is strong, but it does no harm")
