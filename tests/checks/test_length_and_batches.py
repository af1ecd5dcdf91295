import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import Case, assert_equal, blobs, classifier, mlp, state_of


def case(*, lr=0.1, momentum=0.0, batch_size=16, spread=0.6, items=256):
    model = mlp()
    loader = DataLoader(blobs(items, spread=spread), batch_size=batch_size, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum), nn.CrossEntropyLoss(), loader)


def test_a_training_that_stopped_on_its_way_is_trained_on(watched):
    broken = case(lr=0.02, batch_size=32)
    inspector = watched(broken, lambda c: c.run(1))
    before = state_of(broken)
    finding = inspector.check("training_length")
    assert finding.severity == "warning", finding.message
    assert finding.basis == "experiment"
    assert "stopped after 8 steps" in finding.message
    assert "epochs" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert_equal(before, state_of(broken))


def surface(steps, *, watched, noise=0.0):
    """A curved surface that Adam learns in some 300 steps."""
    torch.manual_seed(0)
    x = 4 * torch.rand(1000, 2) - 2
    z = (torch.sin(2 * x[:, :1]) * x[:, 1:]) + noise * torch.randn(1000, 1)
    model = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
    loader = DataLoader(TensorDataset(x, z), batch_size=40, shuffle=True)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=0.006), nn.MSELoss(), loader)
    return watched(made, lambda c: c.run(steps // 25)).check("training_length", seconds=120.0)


def test_a_short_training_that_left_much_of_what_can_be_learned_is_trained_on(watched):
    finding = surface(50, watched=watched)
    assert finding.severity == "warning", finding.message
    assert "stopped after 50 steps" in finding.message


@pytest.mark.parametrize(("epochs", "severity"), [(3, "warning"), (5, "ok")])
def test_a_very_short_training_may_have_come_most_of_the_way(watched, epochs, severity):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=generator)
    y = (x @ torch.tensor([1.0, -1.0, 0.5, 0.0, 0.0, 0.3]))[:, None] + 0.5 * torch.tanh(2 * x[:, :1])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))
    loader = DataLoader(TensorDataset(x, y), 20, shuffle=True)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=0.002), nn.MSELoss(), loader)
    finding = watched(made, lambda c: c.run(epochs)).check("training_length", seconds=120.0)
    assert finding.severity == severity, finding.message


def test_where_a_long_training_or_noise_leaves_as_much_it_is_none(watched):
    assert surface(50, watched=watched, noise=0.8).severity in ("ok", "info")
    assert surface(400, watched=watched).severity == "ok"


def test_a_training_that_arrived_is_long_enough(watched):
    finding = watched(case(), lambda c: c.run(8)).check("training_length")
    assert finding.severity == "ok"
    assert "of the way" in finding.message


def test_more_steps_do_not_help_a_training_whose_rate_is_far_too_high(watched):
    finding = watched(case(lr=50.0, momentum=0.9), lambda c: c.run(3)).check("training_length")
    assert finding.severity in ("ok", "skipped"), finding.message


def test_one_item_at_a_high_rate_is_too_few(watched):
    broken = case(lr=0.5, momentum=0.9, batch_size=1, spread=1.5)
    inspector = watched(broken, lambda c: c.run(1))
    before = state_of(broken)
    finding = inspector.check("batch_size")
    assert finding.severity == "warning", finding.message
    assert "1 items in a batch are too few" in finding.message
    assert "batch_size=32" in finding.remedy.code
    assert_equal(before, state_of(broken))


def test_all_items_at_once_are_too_many_for_a_few_epochs(watched):
    broken = case(lr=0.05, batch_size=256)
    finding = watched(broken, lambda c: c.run(20)).check("batch_size")
    assert finding.severity == "warning", finding.message
    assert "256 items in a batch are too many" in finding.message


def test_small_batches_that_learn_are_fine(watched):
    finding = watched(case(lr=0.02, batch_size=1), lambda c: c.run(2)).check("batch_size")
    assert finding.severity == "ok", finding.message


def test_usual_batches_are_not_tried(watched):
    finding = watched(case(lr=1e-5), lambda c: c.run(2)).check("batch_size")
    assert finding.severity == "ok"
    assert "are usual" in finding.message


def test_both_say_why_they_cannot_look(watched):
    inspector = watched(classifier())
    assert "Run your training loop" in inspector.check("training_length").message
    inspector = watched(case(lr=1e-5), lambda c: c.run(2))
    assert inspector.check("training_length", seconds=0).severity == "skipped"


def left_after(batches, *, watched, epochs=20):
    """Passes that are left after some batches, which are drawn anew each time."""
    made = case(lr=0.02, batch_size=8)

    def run(c):
        for _ in range(epochs):
            for number, (x, y) in enumerate(c.train_loader, 1):
                c.optimizer.zero_grad()
                c.loss_fn(c.model(x), y).backward()
                c.optimizer.step()
                if number == batches:
                    break

    return watched(made, run).check("training_length", seconds=120.0)


def test_passes_that_are_left_after_their_first_batch_are_named(watched):
    finding = left_after(1, watched=watched)
    assert finding.severity == "warning", finding.message
    assert "Each pass over the train_loader was left after its first batch, of 32." in finding.message
    assert "take out the break" in finding.remedy.text


def test_passes_that_are_left_but_learn_are_well(watched):
    assert left_after(12, watched=watched).severity == "ok"


def stopped(better, *, early=True):
    """A loop of few steps, and whether it can be left once the validation is no longer better."""
    made = case(lr=0.025, batch_size=64)
    later = DataLoader(blobs(64), 32)

    def a_pass():
        for x, y in made.train_loader:
            made.optimizer.zero_grad()
            made.loss_fn(made.model(x), y).backward()
            made.optimizer.step()
        with torch.no_grad():
            return sum(made.loss_fn(made.model.eval()(x), y).item() for x, y in later)

    def train():
        best, waited = None, 0
        for _ in range(4):
            for _ in range(1):
                loss = a_pass()
            waited = 0 if best is None or better(loss, best) else waited + 1
            best = loss if waited == 0 else best
            if waited >= 3:
                break

    def train_on():
        for _ in range(4):
            a_pass()

    loop = train if early else train_on
    options = {"train_loader": made.train_loader, "val_loader": later, "loop": loop, "show": False}
    with nni.watch(made.model, made.optimizer, made.loss_fn, **options) as inspector:
        loop()
        return inspector.check("training_length", seconds=300.0)


def test_early_stopping_beside_a_validation_loss_that_falls_is_pointed_at():
    finding = stopped(lambda now, best: now > best)
    assert finding.severity == "warning", finding.message
    assert "can be left by `if waited >= 3`, and each validation had a lower loss" in finding.message
    assert "not >" in finding.remedy.code


def test_a_loop_without_early_stopping_is_trained_on_as_it_is():
    finding = stopped(lambda now, best: now < best, early=False)
    assert finding.severity == "warning", finding.message
    assert "can be left" not in finding.message
