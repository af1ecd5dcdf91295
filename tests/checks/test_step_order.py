import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.checks.loop.step_order import rule
from tests.trainings import CLASSES, FEATURES, Case, classifier, mlp

clip = nn.utils.clip_grad_norm_


def usual(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()


def clipped(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        clip(c.model.parameters(), limit)
        c.optimizer.step()


def clipped_by_part(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        clip(c.model[0].parameters(), limit)
        clip(c.model[2].parameters(), limit)
        c.optimizer.step()


def clipped_while_accumulating(c, limit):
    for i, (x, y) in enumerate([*c.train_loader, *c.train_loader]):
        c.loss_fn(c.model(x), y).backward()
        clip(c.model.parameters(), limit)
        if i % 3 == 2:
            c.optimizer.step()
            c.optimizer.zero_grad()


def clipped_by_value(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        nn.utils.clip_grad_value_(c.model.parameters(), limit)
        c.optimizer.step()


def after_the_step(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()
        clip(c.model.parameters(), limit)


def by_value_after_the_step(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()
        nn.utils.clip_grad_value_(c.model.parameters(), limit)


def before_backward(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        clip(c.model.parameters(), limit)
        loss.backward()
        c.optimizer.step()


def old_gradients_before_backward(c, limit):
    for x, y in c.train_loader:
        loss = c.loss_fn(c.model(x), y)
        clip(c.model.parameters(), limit)
        c.optimizer.zero_grad()
        loss.backward()
        c.optimizer.step()


def of_another_network(c, limit):
    other = mlp()
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        clip(other.parameters(), limit)
        c.optimizer.step()


def of_a_generator(c, limit):
    parameters = (p for p in c.model.parameters())
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        clip(parameters, limit)
        c.optimizer.step()


def step_first(c, limit):
    for x, y in c.train_loader:
        loss = c.loss_fn(c.model(x), y)
        c.optimizer.step()
        c.optimizer.zero_grad()
        loss.backward()


def step_first_on_nothing(c, limit):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        c.optimizer.step()
        loss.backward()


def finding_of(watched, loop, limit):
    case = classifier()
    return watched(case, lambda case: loop(case, limit)).check("step_order")


@pytest.mark.parametrize("limit", [1e-3, 100.0])
@pytest.mark.parametrize("loop", [usual, clipped, clipped_by_part, clipped_while_accumulating, clipped_by_value])
def test_sound_orders_pass(watched, loop, limit):
    finding = finding_of(watched, loop, limit)
    assert finding.severity == "ok", finding.message
    assert finding.message.startswith("Yes")


@pytest.mark.parametrize(("limit", "severity"), [(1e-3, "error"), (1e3, "info")])
@pytest.mark.parametrize(
    ("loop", "said"),
    [
        (after_the_step, "clipped after step()"),
        (by_value_after_the_step, "clipped after step()"),
        (before_backward, "clipped before backward()"),
        (old_gradients_before_backward, "clipped before backward()"),
        (of_another_network, "meets no gradient at all"),
        (of_a_generator, "a generator that is used up"),
    ],
)
def test_clipping_at_the_wrong_place_is_judged_by_what_it_would_have_changed(watched, loop, said, limit, severity):
    finding = finding_of(watched, loop, limit)
    assert finding.severity == severity, finding.message
    assert said in finding.message
    assert f"limit of {limit:g}" in finding.message
    assert finding.basis == "structure"


SCALE = 4096.0


def unscale(parameters):
    for parameter in parameters:
        parameter.grad /= SCALE


def scaled_by_hand(c, order, optimizer):
    for x, y in c.train_loader:
        optimizer.zero_grad()
        (c.loss_fn(c.model(x), y) * SCALE).backward()
        for act in order:
            act(c.model.parameters())
        optimizer.step()


def scaled_by_a_scaler(c, unscales, optimizer, scaler):
    for x, y in c.train_loader:
        optimizer.zero_grad()
        scaler.scale(c.loss_fn(c.model(x), y)).backward()
        if unscales:
            scaler.unscale_(optimizer)
        clip(c.model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


def scaled_loss(loop, way, kind=torch.optim.SGD, **options):
    case = classifier()
    case.optimizer = kind(case.model.parameters(), **{"lr": 0.1, **options})
    scaler = () if loop is scaled_by_hand else (torch.amp.GradScaler("cpu", init_scale=SCALE),)

    def train():
        for _ in range(30):
            loop(case, way, case.optimizer, *scaler)

    inspector = nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=train, show=False
    )
    train()
    return inspector


def limited(parameters):
    clip(parameters, 1.0)


@pytest.mark.parametrize(
    ("loop", "way", "code"),
    [
        (scaled_by_hand, [limited, unscale], "parameter.grad /= 4096"),
        (scaled_by_a_scaler, False, "scaler.unscale_(optimizer)"),
    ],
)
def test_clipping_under_the_scale_of_the_loss_is_an_error_where_the_training_failed(loop, way, code):
    with scaled_loss(loop, way) as inspector:
        finding = inspector.check("step_order", seconds=300.0)
        assert finding.severity == "error", finding.message
        assert "the scale of the loss, 4,096, is still on them" in finding.message
        assert finding.evidence["above_limit"] == 1.0
        assert finding.remedy.tried.helped
        assert code in finding.remedy.code
        assert finding.where is None or finding.where.endswith("clip(c.model.parameters(), 1.0)")
        assert inspector.check("loss_reduction", seconds=300.0).severity == "ok"


@pytest.mark.parametrize(("loop", "way"), [(scaled_by_hand, [limited, unscale]), (scaled_by_a_scaler, False)])
def test_clipping_under_the_scale_of_the_loss_is_a_remark_where_the_training_did_well(loop, way):
    with scaled_loss(loop, way, torch.optim.Adam, lr=0.02) as inspector:
        assert inspector.check("step_order", seconds=300.0).severity == "info"


@pytest.mark.parametrize(
    ("loop", "way"),
    [
        (scaled_by_hand, [unscale, limited]),
        (scaled_by_hand, [unscale]),
        (scaled_by_a_scaler, True),
    ],
)
def test_a_scale_that_is_taken_from_the_gradients_is_no_part_of_the_loss(loop, way):
    with scaled_loss(loop, way) as inspector:
        for name in ("step_order", "loss_reduction"):
            finding = inspector.check(name, seconds=300.0)
            assert finding.severity == "ok", finding.message
        assert inspector.check("learning_rate", seconds=300.0).severity in ("ok", "info")


@pytest.mark.parametrize("loop", [step_first, step_first_on_nothing])
def test_a_step_before_backward_is_seen(watched, loop):
    model = nn.Linear(FEATURES, CLASSES)  # of a deeper network torch says itself that its weights have changed
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), classifier().train_loader)
    finding = watched(case, lambda case: loop(case, 1.0)).check("step_order")
    assert finding.severity == "warning"
    assert "step() is called before backward()" in finding.message


def test_lines_are_given_where_the_loop_is_known():
    case = classifier()

    def first():
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            loss = case.loss_fn(case.model(x), y)
            case.optimizer.step()
            loss.backward()

    def late():
        for x, y in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            clip(case.model.parameters(), 1e-3)

    for loop, line, code in ((first, 4, "case.optimizer.step()"), (late, 5, "clip(case.model.parameters(), 1e-3)")):
        with nni.watch(case.model, case.optimizer, case.loss_fn, loop=loop) as inspector:
            loop()
            finding = inspector.check("step_order")
        assert finding.severity == "error"
        assert finding.where == f"line {loop.__code__.co_firstlineno + line}: {code}"


def test_a_gan_is_not_mistaken():
    generator, critic = nn.Linear(2, 8), mlp()
    for_generator, for_critic = (torch.optim.Adam(net.parameters()) for net in (generator, critic))
    target = torch.zeros(16, dtype=torch.int64)
    with nni.watch(critic, [for_critic, for_generator], nn.CrossEntropyLoss()) as inspector:
        for _ in range(8):
            fake = generator(torch.randn(16, 2))
            for_critic.zero_grad()
            inspector.training.loss_fn(critic(fake.detach()), target).backward()
            score = critic(fake)
            for_critic.step()
            for_generator.zero_grad()
            inspector.training.loss_fn(critic(fake), target).backward()
            for_generator.step()
            del score
        assert inspector.check("step_order").severity == "ok"


def test_of_few_steps_nothing_is_said(watched):
    def loop(case):
        x, y = next(iter(case.train_loader))
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()

    finding = watched(classifier(), loop).check("step_order")
    assert (finding.severity, "Too few steps" in finding.message) == ("skipped", True)


@pytest.mark.parametrize(("share", "severity"), [(0.0, "info"), (0.01, "warning"), (0.49, "warning"), (0.5, "error")])
def test_rule(share, severity):
    assert rule(share) == severity
