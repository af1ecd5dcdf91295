import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from nn_inspector.checks import find_check
from nn_inspector.checks.base import Subject
from nn_inspector.checks.loop.update_direction import has_risen, rule, slope_of
from nn_inspector.history import Run
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of

criterion = nn.CrossEntropyLoss()
batches = list(torch.utils.data.DataLoader(blobs(), batch_size=16)) * 4


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.05, **options})


def down(model, optimizer):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()

    return loop


def negated_loss(model, optimizer):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            loss = -criterion(model(x), y)
            loss.backward()
            optimizer.step()

    return loop


def negated_gradient(model, optimizer):
    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            for p in model.parameters():
                p.grad.mul_(-1)
                p.grad *= 1.0
            optimizer.step()

    return loop


def out_of_sight(model, optimizer):
    for p in model.parameters():
        p.register_hook(torch.neg)
    return down(model, optimizer)


def twice_negated(model, optimizer):
    optimizer.param_groups[0]["maximize"] = True
    return negated_loss(model, optimizer)


def finding_of(make_loop, *, model=None, read=True, seconds=300, loader=batches, **options):
    model = model or mlp()
    optimizer = sgd(model, **options)
    loop = make_loop(model, optimizer)
    known = {"loop": loop} if read else {}
    with nni.watch(model, optimizer, criterion, train_loader=loader, **known) as inspector:
        loop()
        return inspector.check("update_direction", seconds=seconds)


def deep():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES)
    )


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"lr": 5.0}])
@pytest.mark.parametrize("make", [mlp, deep])
def test_steps_down_pass(make, options):
    finding = finding_of(down, model=make(), **options)
    assert finding.severity == "ok", finding.message
    assert finding.message.startswith("Yes: along the first step the loss falls")


def test_twice_turned_around_is_not_raised():
    assert not finding_of(twice_negated).raised


@pytest.mark.parametrize(
    ("make_loop", "options", "said", "where"),
    [
        (negated_loss, {}, "backward() is called on the negative of the loss", "loss.backward()"),
        (negated_gradient, {}, "gradients are turned around", "p.grad.mul_(-1)"),
        (down, {"maximize": True}, "the optimizer has maximize=True", "optimizer"),
        (out_of_sight, {}, "along the first step of your loop the loss rises, on 100% of the batches", "optimizer"),
    ],
)
def test_steps_up_are_an_error(make_loop, options, said, where):
    finding = finding_of(make_loop, **options)
    assert finding.severity == "error", finding.message
    assert said in finding.message
    assert "the loss of your run has risen" in finding.message
    assert finding.where.endswith(where)
    assert finding.remedy.tried.helped
    assert find_check("update_direction").chart(finding) is not None


@pytest.mark.parametrize(
    ("make_loop", "options", "severity"),
    [
        (negated_loss, {}, "error"),
        (down, {"maximize": True}, "error"),
        (out_of_sight, {}, "skipped"),
        (down, {}, "skipped"),
    ],
)
def test_without_an_experiment_the_sign_must_be_seen(make_loop, options, severity):
    finding = finding_of(make_loop, seconds=0, **options)
    assert finding.severity == severity
    assert finding.remedy is None or finding.remedy.tried is None


def test_without_a_loader_the_steps_of_the_loop_show_it():
    assert finding_of(negated_loss, loader=None).severity == "error"
    found = finding_of(out_of_sight, loader=None, read=False)
    assert found.severity == "error"
    assert "There is no train_loader" in found.message
    assert finding_of(down, loader=None, read=False).severity == "ok"


def of_pairs(*, likely, weigh=lambda loss: loss):
    """How much the score of the right class is above that of the next, by a logarithm of its own."""

    def make(model, optimizer):
        def loop():
            for x, y in batches:
                scores = model(x)
                ahead = scores.gather(1, y[:, None]) - scores.gather(1, (y[:, None] + 1) % CLASSES)
                likelihood = weigh(F.logsigmoid(ahead)).mean()
                optimizer.zero_grad()
                (likelihood if likely else -likelihood).backward()
                optimizer.step()

        return loop

    return make


@pytest.mark.parametrize(
    ("make_loop", "severity"),
    [
        (of_pairs(likely=False), "error"),
        (of_pairs(likely=False, weigh=lambda loss: loss * torch.linspace(0.5, 2.0, len(loss))[:, None]), "info"),
        (of_pairs(likely=True), "info"),
    ],
    ids=["a cost", "perhaps a reward", "a likelihood"],
)
def test_the_negative_of_a_logarithm_is_maximized_by_mistake(make_loop, severity):
    assert finding_of(make_loop, maximize=True).severity == severity


def towards_a_reward(model, optimizer):
    """What is maximized is a likeness, and it grows."""

    def loop():
        for x, _ in batches:
            optimizer.zero_grad()
            loss = -F.cosine_similarity(model(x), torch.ones(len(x), CLASSES)).mean()
            loss.backward()
            optimizer.step()

    return loop


def a_game(model, optimizer):
    """A generator that makes its critic's loss larger, in the way that was published first."""
    generator = nn.Linear(2, FEATURES)
    other = sgd(generator)

    def loop():
        for x, y in batches:
            fake = generator(torch.randn(len(x), 2))
            optimizer.zero_grad()
            (criterion(model(x), y) + criterion(model(fake.detach()), y)).backward()
            optimizer.step()
            other.zero_grad()
            (-criterion(model(fake), y)).backward()
            other.step()

    return loop


@pytest.mark.parametrize("make_loop", [towards_a_reward, a_game])
def test_going_up_on_purpose_is_no_alarm(make_loop):
    finding = finding_of(make_loop)
    assert finding.severity in ("ok", "skipped", "info"), finding.message


def test_several_optimizers_have_no_common_direction():
    model = mlp()
    both = [torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2)]
    with nni.watch(model, both, criterion, train_loader=batches) as inspector:
        for x, y in batches[:6]:
            criterion(model(x), y).backward()
            for optimizer in both:
                optimizer.step()
                optimizer.zero_grad()
        finding = inspector.check("update_direction")
    assert (finding.severity, "Several optimizers" in finding.message) == ("skipped", True)


def test_a_first_step_of_nothing_has_no_direction():
    model = mlp()
    optimizer = sgd(model, lr=0.0)
    loop = down(model, optimizer)
    with nni.watch(model, optimizer, criterion, train_loader=batches) as inspector:
        loop()
        finding = inspector.check("update_direction")
    assert (finding.severity, "not known" in finding.message) == ("skipped", True)


def test_before_training_it_says_what_to_do(watched):
    finding = watched(classifier()).check("update_direction")
    assert (finding.severity, "Run your training loop" in finding.message) == ("skipped", True)


def test_nothing_of_the_users_changes():
    model = deep()
    case = Case(model, sgd(model, momentum=0.9), criterion, batches)
    with nni.watch(model, case.optimizer, criterion, train_loader=batches) as inspector:
        case.run(1)
        before = state_of(case)
        slope = slope_of(Subject(inspector.training, inspector.run, 300.0))
        assert_equal(state_of(case), before)
    assert slope.falling > 0.5 > slope.rising
    assert slope.along < 0 < slope.against


@pytest.mark.parametrize(
    ("uphill", "turned", "risen", "severity"),
    [
        (True, True, True, "error"),
        (True, False, True, "error"),
        (False, True, True, "error"),
        (False, False, True, "ok"),
        (True, False, False, "info"),
        (False, True, None, "info"),
        (False, False, False, "ok"),
    ],
)
def test_rule(uphill, turned, risen, severity):
    assert rule(uphill=uphill, turned=turned, risen=risen) == severity


@pytest.mark.parametrize(
    ("losses", "risen"),
    [
        ([2.3, 2.0, 1.0, 0.5, 0.1], False),
        ([2.3, 2.4, 5.0, 9.0, 20.0], True),
        ([2.3, 9.0, 3.0, 2.4, 2.31], False),
        ([2.3, 3.0, 10.0, float("nan"), float("nan")], True),
        ([-1.0, -1.5, -2.0, -2.5, -3.0], False),
        ([2.3, 9.0], None),
    ],
)
def test_whether_a_loss_has_risen(losses, risen):
    run = Run("test", {})
    run.record(Measurement(step, "loss", "train", loss) for step, loss in enumerate(losses))
    assert has_risen(run) is risen


def bandit(model, optimizer):
    def loop():
        for x, y in batches:
            dist = torch.distributions.Categorical(logits=model(x))
            action = dist.sample()
            reward = (action == y).float()
            loss = (dist.log_prob(action) * reward).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop


def bandit_with_minus(model, optimizer):
    def loop():
        for x, y in batches:
            dist = torch.distributions.Categorical(logits=model(x))
            action = dist.sample()
            reward = (action == y).float()
            loss = (-dist.log_prob(action) * reward).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop


@pytest.mark.parametrize(
    ("make", "options", "raised"),
    [(bandit, {}, True), (bandit, {"maximize": True}, False), (bandit_with_minus, {}, False)],
    ids=["no minus", "maximized", "minus"],
)
def test_a_reward_that_is_minimized_is_a_warning(make, options, raised):
    model = mlp()
    optimizer = sgd(model, **options)
    loop = make(model, optimizer)
    with nni.watch(model, optimizer, train_loader=batches, loop=loop, show=False) as inspector:
        loop()
        found = inspector.check("update_direction")
    assert found.raised == raised
    if raised:
        assert "loss = (dist.log_prob(action) * reward).mean()" in found.where


def test_a_likelihood_that_is_maximized_is_no_error():
    model = mlp()
    optimizer = sgd(model, maximize=True)

    def loop():
        for x, y in batches:
            optimizer.zero_grad()
            likelihood = torch.distributions.Categorical(logits=model(x)).log_prob(y).mean()
            likelihood.backward()
            optimizer.step()

    with nni.watch(model, optimizer, train_loader=batches, loop=loop, show=False) as inspector:
        loop()
        found = inspector.check("update_direction")
    assert not found.raised, found.message


def test_a_loss_of_data_that_the_network_makes_may_rise():
    """The loss of a policy gradient belongs to the actions of its step: on those of another step it tells nothing."""
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    with nni.watch(policy, optimizer, show=False) as inspector:
        for number in range(40):
            state = torch.randn(8, 4)
            chances = torch.distributions.Categorical(logits=policy(state))
            action = chances.sample()
            gain = (action == 0).float() * (-1.0 if number else 1.0)  # what was good at first is not for long
            optimizer.zero_grad()
            (-(chances.log_prob(action) * gain).mean()).backward()
            optimizer.step()
        assert inspector.training.makes_its_data
        finding = inspector.check("update_direction")
    assert finding.severity in {"ok", "info"}, finding.message
    assert finding.evidence.get("risen", 0.0) == 0.0
