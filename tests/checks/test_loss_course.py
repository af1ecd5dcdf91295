"""The checks that read the course of the loss, on losses made up for them: chance is about 1.38 here."""

import math

import numpy as np
import pytest
import torch

import nn_inspector as nni
from nn_inspector.checks.base import Subject
from nn_inspector.checks.train.course import course_of
from nn_inspector.checks.train.loss_spike import find_spike
from nn_inspector.checks.train.traced_levels import steady_chance, traced_levels
from nn_inspector.probes import Measurement
from tests.trainings import Case, assert_equal, blobs, classifier, mlp, state_of

CHANCE = 1.38
STEPS = np.arange(200)
NOISE = np.random.default_rng(0).standard_normal(200)


def falling(to=0.1, start=CHANCE, speed=20.0):
    return to + (start - to) * np.exp(-STEPS / speed) + 0.01 * NOISE


COURSES = {
    "sound": falling(),
    "at chance": CHANCE + 0.02 * NOISE,
    "worse than chance": 3 * CHANCE + 0.02 * NOISE,
    "rising": CHANCE + 0.02 * STEPS + 0.01 * NOISE,
    "lost": np.where(STEPS < 100, CHANCE * 1.2 ** (STEPS / 2), np.inf),
    "straight down": CHANCE - 0.0012 * STEPS + 0.003 * NOISE,
    "hockey stick": 1.2 + 40 * np.exp(-STEPS / 2) + 0.02 * NOISE,
    "up and down": 1.4 * np.exp(0.5 * NOISE),
    "collapsed": np.where(STEPS < 120, falling(speed=10), 1.6 + 0.05 * NOISE),
    "recovered": np.where((STEPS >= 100) & (STEPS < 120), 1.6, falling(speed=10)),
    "half way and flat": falling(to=0.7, speed=5),
    "negative": -falling(),
    "short": falling()[:15],
}

RAISED = {
    "no_learning": {"at chance", "worse than chance", "rising", "lost"},
    "divergence": {"rising", "lost"},
    "slow_learning": {"straight down"},
    "steep_then_flat": {"hockey stick"},
    "oscillation": {"up and down"},
    "loss_spike": {"collapsed"},
}


def with_losses(losses):
    case = classifier()
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False)
    inspector.run.record([Measurement(step, "loss", "train", float(loss)) for step, loss in enumerate(losses)])
    inspector.run.steps = len(losses)
    return inspector


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("check", RAISED)
def test_each_course_is_known_for_what_it_is(check, course):
    with with_losses(COURSES[course]) as inspector:
        finding = inspector.check(check)
    if course in RAISED[check]:
        assert finding.severity == "warning", finding.message
        assert finding.basis == "statistics"
        assert finding.remedy.text.endswith(".")
        assert finding.remedy.code
    else:
        assert not finding.raised, finding.message


@pytest.mark.parametrize(
    ("check", "course", "words"),
    [
        ("no_learning", "at chance", "Nothing was learned that depends on the input"),
        ("divergence", "rising", "and is at 5.16 after 200 steps"),
        ("divergence", "lost", "NaN or infinity"),
        ("slow_learning", "straight down", "times as many"),
        ("steep_then_flat", "hockey stick", "first tenth of the 200 steps"),
        ("oscillation", "up and down", "does not get better"),
        ("loss_spike", "collapsed", "at step 120 it collapsed"),
    ],
)
def test_the_message_says_what_was_seen(check, course, words):
    with with_losses(COURSES[course]) as inspector:
        assert words in inspector.check(check).message


@pytest.mark.parametrize("check", RAISED)
def test_they_say_why_they_cannot_look(check):
    with with_losses([]) as inspector:
        assert "Run your training loop" in inspector.check(check).message
    with with_losses(COURSES["short"]) as inspector:
        finding = inspector.check(check)
        assert finding.severity == "skipped"
        assert "which says nothing yet" in finding.message
    model = mlp()
    two = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.1)]
    with nni.watch(model, two, torch.nn.CrossEntropyLoss()) as inspector:
        inspector.run.record([Measurement(step, "loss", "train", CHANCE) for step in range(100)])
        inspector.run.steps = 100
        finding = inspector.check(check)
    assert finding.severity == "skipped"
    assert "several optimizers" in finding.message


def test_a_loss_that_is_not_known_is_not_judged_by_its_value():
    with nni.watch(mlp()) as inspector:
        inspector.run.record([Measurement(step, "loss", "train", 3.0) for step in range(100)])
        inspector.run.steps = 100
        finding = inspector.check("no_learning")
    assert finding.severity == "skipped"
    assert "not known what chance would give" in finding.message


def test_a_spike_tells_of_gradient_and_rate_before_it():
    with with_losses(COURSES["collapsed"]) as inspector:
        norms = [Measurement(step, "gradient_norm", "0.weight", 80.0 if step == 119 else 2.0) for step in range(120)]
        rates = [Measurement(step, "learning_rate", "group 0", rate) for step, rate in ((0, 0.01), (118, 0.5))]
        inspector.run.record(norms + rates)
        finding = inspector.check("loss_spike")
    assert "up to 80 just before, and 2 usually" in finding.message
    assert "raised from 0.01 to 0.5" in finding.message
    assert "clip_grad_norm_(model.parameters(), 2)" in finding.remedy.code
    assert finding.remedy.text.endswith("It was not tried: a copy meets the collapse at step 120 only.")
    assert finding.where == "step 120"


def test_a_spike_is_found_at_its_step():
    with with_losses(COURSES["collapsed"]) as inspector:
        course = course_of(Subject(inspector.training, inspector.run, 10.0))
    spike = find_spike(course)
    assert spike.step == 120
    assert spike.best == pytest.approx(0.1, abs=0.02)
    assert spike.after > 1.5


def test_a_real_training_passes_all_of_them_and_is_left_as_it_was(watched):
    case = classifier()
    inspector = watched(case, lambda c: c.run(20))
    before = state_of(case)
    for check in (*RAISED, "constant_predictions"):
        finding = inspector.check(check)
        assert finding.severity == "ok", finding
    assert_equal(before, state_of(case))


class Constant(torch.nn.Module):
    """Answers the same whatever it is given."""

    def __init__(self, outputs):
        super().__init__()
        self.answer = torch.nn.Parameter(torch.randn(outputs, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        return self.answer.expand(len(x), -1) if len(self.answer) > 1 else self.answer.expand(len(x))


def constant(outputs, loss_fn, data=None):
    model = Constant(outputs)
    case = classifier(data=data)
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, case.train_loader)


def with_numbers():
    x, y = classifier().train_loader.dataset.tensors
    return torch.utils.data.TensorDataset(x, y.float())


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (constant(4, torch.nn.CrossEntropyLoss()), "is predicted for 100% of the items"),
        (constant(1, torch.nn.MSELoss(), with_numbers()), "the predictions differ by 0"),
    ],
    ids=["classes", "numbers"],
)
def test_the_same_answer_for_everything_is_a_warning(watched, case, words):
    finding = watched(case, lambda c: c.run(10)).check("constant_predictions")
    assert finding.severity == "warning", finding.message
    assert words in finding.message
    assert "dead_units" in finding.remedy.code


def test_constant_predictions_need_no_loss_function(watched):
    case = constant(4, None)

    def loop(c):
        for _ in range(10):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                torch.nn.functional.cross_entropy(c.model(x), y).backward()
                c.optimizer.step()

    finding = watched(case, loop).check("constant_predictions")
    assert finding.severity == "warning", finding.message
    assert finding.evidence["class"] == case.model.answer.argmax().item()


def test_without_experiments_predictions_are_not_asked_for(watched):
    finding = watched(constant(4, torch.nn.CrossEntropyLoss()), lambda c: c.run(10)).check(
        "constant_predictions", seconds=0
    )
    assert finding.severity == "skipped"


@pytest.mark.parametrize("loss_fn", [None, torch.nn.CrossEntropyLoss()])
def test_the_trace_alone_tells_what_chance_gives(watched, loss_fn):
    case = classifier()
    case.loss_fn = loss_fn or torch.nn.functional.cross_entropy
    inspector = watched(case, lambda c: c.run(2))
    counts = torch.bincount(case.train_loader.dataset.tensors[1]) / 96
    levels = traced_levels(inspector.run)
    assert levels.chance == pytest.approx(-(counts * counts.log()).sum().item(), rel=1e-4)
    assert levels.progress(0.0) == 1.0


@pytest.mark.parametrize("options", [{"weight": torch.ones(4)}, {"reduction": "sum"}, {"label_smoothing": 0.1}])
def test_a_loss_that_is_no_plain_mean_has_no_traced_levels(watched, options):
    case = classifier()
    case.loss_fn = torch.nn.CrossEntropyLoss(**options)
    run = watched(case, lambda c: c.run(1)).run
    assert traced_levels(run) is None
    assert steady_chance(run) is None


def rare(items=96):
    """One class in eight items of the other."""
    x, _ = blobs(items).tensors
    return torch.utils.data.TensorDataset(x, (torch.arange(items) % 8 == 0).long())


def test_a_picture_has_the_chance_of_classes_alike_until_the_labels_of_a_pass_are_known(watched):
    case = classifier(data=rare())
    inspector = watched(case)
    batches = iter(case.train_loader)
    for _ in range(len(case.train_loader)):
        x, y = next(batches)
        case.optimizer.zero_grad()
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()
        assert steady_chance(inspector.run) == pytest.approx(math.log(4))
    assert next(batches, None) is None
    share = torch.tensor([1 / 8, 7 / 8])
    assert steady_chance(inspector.run) == pytest.approx(-(share * share.log()).sum().item(), rel=1e-4)


def regression(loss_fn, *, growing=False):
    x, _ = blobs().tensors
    targets = 3 * torch.randn(len(x), 1, generator=torch.Generator().manual_seed(0)) + 5
    if growing:
        targets = targets * torch.linspace(0.01, 10, len(x))[:, None]
    model = torch.nn.Linear(x.shape[1], 1)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, targets), batch_size=16)
    return Case(model, torch.optim.SGD(model.parameters(), lr=1e-3), loss_fn, loader)


@pytest.mark.parametrize(
    ("loss_fn", "growing", "chance"),
    [(torch.nn.MSELoss(), False, 9.0), (torch.nn.MSELoss(), True, None), (torch.nn.L1Loss(), False, None)],
    ids=["squared", "targets grow", "absolute"],
)
def test_of_numbers_a_picture_has_the_variance_of_the_targets_if_they_stay_as_they_are(
    watched, loss_fn, growing, chance
):
    inspector = watched(regression(loss_fn, growing=growing), lambda c: c.run(1), every=1)
    found = steady_chance(inspector.run)
    assert found is None if chance is None else found == pytest.approx(chance, rel=0.4)


def test_two_losses_in_a_step_have_no_chance_in_a_picture(watched):
    case = classifier()
    whole, case.loss_fn = case.loss_fn, lambda p, y: whole(p, y) + whole(p / 2, y)
    assert steady_chance(watched(case, lambda c: c.run(1)).run) is None


def test_answers_of_great_weight_have_no_traced_levels(watched):
    """The level of chance would be put too low."""
    x, y = blobs().tensors
    model = torch.nn.Linear(x.shape[1], 1)
    loss_fn = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(40.0))
    data = torch.utils.data.TensorDataset(x, (y == 0).float()[:, None])
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), loss_fn, loader)
    assert traced_levels(watched(case, lambda c: c.run(1)).run) is None


def test_where_all_inputs_are_the_same_all_answers_should_be(watched):
    x, y = classifier().train_loader.dataset.tensors
    case = constant(4, torch.nn.CrossEntropyLoss(), torch.utils.data.TensorDataset(torch.zeros_like(x), y))
    finding = watched(case, lambda c: c.run(10)).check("constant_predictions")
    assert finding.severity == "skipped"
    assert "All inputs are the same" in finding.message


def test_a_loss_that_diverges_names_the_step_from_which_on_it_was_above_its_start():
    losses = np.where((STEPS > 10) & (STEPS < 140), 0.5 * CHANCE, CHANCE)
    losses[140:] = np.linspace(1.5, 9.0, len(losses) - 140) * CHANCE
    with with_losses(losses) as inspector:
        finding = inspector.check("divergence")
        inspector.note(finding)
        assert (finding.severity, finding.evidence["step"]) == ("warning", 140.0)
        assert inspector.run.raised_at("divergence") == 140


def test_a_loss_whose_targets_grow_does_not_diverge():
    """As in reinforcement learning, where a network makes the targets."""
    with with_losses(COURSES["rising"]) as inspector:
        spreads = [Measurement(step, "target_spread", "train", 0.1 + 0.05 * step) for step in range(20)]
        inspector.run.record(spreads)
        finding = inspector.check("divergence")
    assert finding.severity == "ok"
    assert "the targets grew as well" in finding.message


def test_little_that_was_surely_learned_is_no_alarm():
    with with_losses(np.where(STEPS < 60, CHANCE - 0.0017 * STEPS, CHANCE - 0.1) + 0.001 * NOISE) as inspector:
        finding = inspector.check("no_learning")
    assert finding.severity == "info", finding.message
    assert "Very little" in finding.message


def test_an_epoch_that_is_not_complete_says_nothing_yet(watched):
    case = classifier(lr=1e-6, data=blobs(1600))

    def loop(c):
        for step, (x, y) in enumerate(c.train_loader):
            c.optimizer.zero_grad()
            c.loss_fn(c.model(x), y).backward()
            c.optimizer.step()
            if step == 70:
                return

    finding = watched(case, loop).check("no_learning")
    assert finding.severity == "skipped"
    assert "first epoch is not complete" in finding.message


def test_numbers_in_other_units_are_not_compared(watched):
    case = constant(1, torch.nn.PoissonNLLLoss(), with_numbers())
    finding = watched(case, lambda c: c.run(10)).check("constant_predictions")
    assert finding.severity == "skipped"
    assert "logarithm" in finding.message
