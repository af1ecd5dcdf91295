import pytest
import torch
from torch import nn

import nn_inspector as nni
from nn_inspector.checks import find_check
from nn_inspector.checks.loop.zeroed_gradients import rule
from nn_inspector.history.memory import HEAD, RECENT
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


def never(c):
    c.run(2, zero_grad=False)


def before_backward(c):
    c.run(2)


def to_zeros(c):
    for x, y in c.train_loader:
        c.optimizer.zero_grad(set_to_none=False)
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()


def after_the_step(c):
    for x, y in c.train_loader:
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()
        c.optimizer.zero_grad()


def by_the_model(c):
    for x, y in c.train_loader:
        c.model.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()


def between_forward_and_backward(c):
    for x, y in c.train_loader:
        loss = c.loss_fn(c.model(x), y)
        c.optimizer.zero_grad()
        loss.backward()
        c.optimizer.step()


def accumulating_on_purpose(c):
    for index, (x, y) in enumerate([*c.train_loader, *c.train_loader]):
        (c.loss_fn(c.model(x), y) / 3).backward()
        if index % 3 == 2:
            c.optimizer.step()
            c.optimizer.zero_grad()


def two_losses_one_step(c):
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.loss_fn(c.model(x + 0.1), y).backward()
        c.optimizer.step()


def once_an_epoch(c):
    for _ in range(2):
        c.optimizer.zero_grad()
        for x, y in c.train_loader:
            c.loss_fn(c.model(x), y).backward()
            c.optimizer.step()


@pytest.mark.parametrize(
    "loop",
    [
        before_backward,
        to_zeros,
        after_the_step,
        by_the_model,
        between_forward_and_backward,
        accumulating_on_purpose,
        two_losses_one_step,
    ],
)
def test_sound_loops_pass(watched, loop):
    finding = watched(classifier(), loop).check("zeroed_gradients")
    assert finding.severity == "ok", finding.message
    assert finding.evidence["kept_share"] == 0


class WithLeftovers(nn.Module):
    """Its last layers are never used, and the two heads take turns."""

    def __init__(self):
        super().__init__()
        self.body, self.one, self.other = nn.Linear(FEATURES, 16), nn.Linear(16, CLASSES), nn.Linear(16, CLASSES)
        self.old = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
        self.turn = 0

    def forward(self, x):
        self.turn += 1
        return (self.one if self.turn % 2 else self.other)(self.body(x).relu())


@pytest.mark.parametrize(("zero_grad", "severity"), [(True, "ok"), (False, "error")])
def test_layers_that_are_unused_or_take_turns_do_not_hide_it(zero_grad, severity):
    model = WithLeftovers()
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), classifier().train_loader)
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(4, zero_grad=zero_grad)
        assert inspector.check("zeroed_gradients", seconds=0).severity == severity


@pytest.mark.parametrize(("zero_grad", "severity"), [(True, "ok"), (False, "error")])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.LBFGS])
def test_gradients_of_a_closure_are_seen(optimizer, zero_grad, severity):
    model = mlp()
    stepper = optimizer(model.parameters(), lr=0.01)
    loss_fn = nn.CrossEntropyLoss()
    with nni.watch(model, stepper, loss_fn) as inspector:
        for x, y in classifier().train_loader:

            def closure(x=x, y=y):
                if zero_grad:
                    stepper.zero_grad()
                loss = loss_fn(model(x), y)
                loss.backward()
                return loss

            stepper.step(closure)
        assert inspector.check("zeroed_gradients", seconds=0).severity == severity


@pytest.mark.parametrize(("loop", "share"), [(never, 1.0), (once_an_epoch, 10 / 11)])
def test_kept_gradients_are_an_error(watched, loop, share):
    finding = watched(classifier(lr=0.5), loop).check("zeroed_gradients")
    assert finding.severity == "error"
    assert finding.evidence["kept_share"] == pytest.approx(share)
    assert "was still there and was added to" in finding.message
    assert "optimizer.zero_grad()" in finding.remedy.code
    assert finding.remedy.tried is not None


def test_the_share_is_exact_where_the_run_does_not_keep_every_step(watched):
    steps = 2 * (HEAD + RECENT)

    def loop(c):
        x, y = blobs(16).tensors
        for step in range(steps):
            if step % 3:
                c.optimizer.zero_grad()
            c.loss_fn(c.model(x), y).backward()
            c.optimizer.step()

    finding = watched(classifier(lr=1e-3), loop).check("zeroed_gradients", seconds=0)
    assert finding.evidence["steps_seen"] == steps - 1
    assert finding.evidence["kept_share"] == pytest.approx((steps // 3 - 1) / (steps - 1))
    assert finding.severity == "warning"


def test_the_discriminator_of_a_gan_is_not_mistaken():
    """The generator's backward() adds to the discriminator's gradients, which are cleared before its own."""
    generator, discriminator = nn.Linear(2, 8), mlp()
    for_generator = torch.optim.Adam(generator.parameters())
    for_discriminator = torch.optim.Adam(discriminator.parameters())
    with nni.watch(discriminator, for_discriminator, nn.CrossEntropyLoss()) as inspector:
        for _ in range(8):
            fake, target = generator(torch.randn(16, 2)), torch.zeros(16, dtype=torch.int64)
            for_discriminator.zero_grad()
            inspector.training.loss_fn(discriminator(fake.detach()), target).backward()
            for_discriminator.step()
            for_generator.zero_grad()
            inspector.training.loss_fn(discriminator(fake), target).backward()
            for_generator.step()
        finding = inspector.check("zeroed_gradients")
    assert finding.severity == "ok", finding.message


def every_other_step(c):
    for i, (x, y) in enumerate([*c.train_loader, *c.train_loader]):
        if i % 2 == 0:
            c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()


def test_clearing_at_every_other_step_is_an_error(watched):
    assert watched(classifier(), every_other_step).check("zeroed_gradients", seconds=0).severity == "error"


def test_two_optimizers_are_told_apart():
    model = mlp()
    first, second = (torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2))
    x, y = blobs(16).tensors
    with nni.watch(model, [first, second], nn.CrossEntropyLoss()) as inspector:
        for _ in range(6):
            first.zero_grad()
            inspector.training.loss_fn(model(x), y).backward()
            first.step()
            second.step()
        finding = inspector.check("zeroed_gradients")
    assert finding.severity == "error"
    assert finding.where == "optimizer 1"


def test_before_training_it_says_what_to_do(watched):
    finding = watched(classifier()).check("zeroed_gradients")
    assert finding.severity == "skipped"
    assert "Run your training loop" in finding.message


@pytest.mark.parametrize(
    ("share", "severity"), [(0.0, "ok"), (0.05, "ok"), (0.06, "warning"), (0.4, "warning"), (0.41, "error")]
)
def test_rule(share, severity):
    assert rule(share) == severity


def test_its_evidence_can_be_drawn(watched):
    finding = watched(classifier(), never).check("zeroed_gradients")
    assert set(find_check("zeroed_gradients").chart(finding).series) == {"without the remedy", "with the remedy"}
    assert (
        find_check("zeroed_gradients").chart(watched(classifier(), before_backward).check("zeroed_gradients")) is None
    )


def once_in_many(c, *, mended):
    for epoch in range(60):
        if epoch % 4 == 0:
            c.optimizer.zero_grad()
        for x, y in c.train_loader:
            if mended and epoch >= 16:
                c.optimizer.zero_grad()
            c.loss_fn(c.model(x), y).backward()
            c.optimizer.step()


@pytest.mark.parametrize("lr", [1.0, 20.0])
def test_gradients_that_pile_up_until_all_units_are_dead_are_an_error(watched, lr):
    """Once they are dead no gradient is left over, so that it is seen in a part of the steps only."""
    torch.manual_seed(0)
    case = classifier()
    case.model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=lr, momentum=0.9)
    finding = watched(case, lambda c: once_in_many(c, mended=False)).check("zeroed_gradients")
    assert finding.evidence["kept_share"] < 0.1
    assert finding.severity == "error", finding.message
    assert "Of the first 20 it was so in" in finding.message
    assert finding.remedy.tried.helped


def test_a_loop_that_was_mended_is_no_error(watched):
    finding = watched(classifier(lr=0.02), lambda c: once_in_many(c, mended=True)).check("zeroed_gradients")
    assert finding.severity == "warning", finding.message
