"""A rate that is lowered when a number stops getting better: whether it is told which way that is."""

import pytest
import torch
from torch.optim import lr_scheduler

import nn_inspector as nni
from nn_inspector.checks.loop.plateau import waits_for_a_loss_to_rise, waits_for_a_score_to_fall
from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.history import Run
from tests.checks.schedules import EPOCHS, case_of, one_epoch
from tests.trainings import blobs


@pytest.mark.parametrize("within", [True, False], ids=["made in the loop", "made before"])
def test_a_rate_that_is_lowered_whenever_the_loss_falls_is_an_error(within):
    case = case_of()
    made = lr_scheduler.ReduceLROnPlateau(case.optimizer, mode="max", patience=0)

    def train_with_own():
        scheduler = lr_scheduler.ReduceLROnPlateau(case.optimizer, mode="max", patience=0)
        for _ in range(EPOCHS):
            loss = one_epoch(case)
            scheduler.step(loss)

    def train():
        for _ in range(EPOCHS):
            loss = one_epoch(case)
            made.step(loss)

    loop = train_with_own if within else train
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, loop=loop) as inspector:
        loop()
        finding = inspector.check("scheduler", seconds=300)
    assert finding.severity == "error", finding.message
    assert 'mode="max"' in finding.message
    assert 'mode="min"' in finding.remedy.text
    assert 'mode="min"' in finding.remedy.code


def validated(case):
    """The mean loss of data that are not trained on, and the shares of right and of wrong answers."""
    x, y = blobs(200, seed=7, spread=1.2).tensors
    with torch.no_grad():
        output = case.model(x)
        right = (output.argmax(1) == y).float().mean().item()
        return case.loss_fn(output, y).item(), right, 1 - right


HELD = torch.utils.data.DataLoader(blobs(200, seed=7, spread=1.2), batch_size=64)


def of_validation(mode, *, which, patience=1, given=False, held=None):
    """A scheduler that is stepped with what was validated, by a name that does not say what it is."""
    case = case_of(0.1)
    made = lr_scheduler.ReduceLROnPlateau(case.optimizer, mode=mode, factor=0.5, patience=patience)

    def train():
        for _ in range(EPOCHS):
            one_epoch(case)
            value = validated(case)[which]
            made.step(value)

    def train_with(scheduler):
        for _ in range(EPOCHS):
            one_epoch(case)
            value = validated(case)[which]
            scheduler.step(value)

    loop = train_with if given else train
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=held, loop=loop
    ) as inspector:
        loop(*[made] * given)
        return inspector.check("scheduler", seconds=300)


@pytest.mark.parametrize("given", [False, True], ids=["known to the loop", "given to it"])
def test_a_scheduler_that_waits_for_a_loss_to_rise_is_named_by_its_best_value(given):
    finding = of_validation("max", which=0, given=given)
    assert finding.severity == "warning", finding.message
    assert "`value` is a loss" in finding.message
    assert "Its best value so far is" in finding.message
    assert finding.basis == "structure"


@pytest.mark.parametrize("given", [False, True], ids=["known to the loop", "given to it"])
def test_a_scheduler_that_waits_for_a_share_of_right_answers_to_fall_is_named_by_its_best_value(given):
    finding = of_validation("min", which=1, given=given, held=HELD)
    assert finding.severity == "warning", finding.message
    assert "`value` should rise" in finding.message
    assert "the lowest that it was given" in finding.message
    assert 'mode="max"' in finding.remedy.code


@pytest.mark.parametrize(
    ("mode", "which", "patience"), [("min", 0, 1), ("max", 1, 1), ("max", 0, 50), ("min", 1, 50), ("min", 2, 1)]
)
def test_schedulers_that_wait_for_what_should_come_are_fine(mode, which, patience):
    """And one that waits for the wrong thing, but has not lowered the rate yet, and one that is given the share of wrong answers."""
    assert of_validation(mode, which=which, patience=patience, held=HELD).severity in ("ok", "info")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("scheduler.step(val_loss)", "val_loss"),
        ("scheduler.step(metrics=history['val_loss'][-1])", "history['val_loss'][-1]"),
        ("scheduler.step(-val_loss)", None),
        ("scheduler.step(val_accuracy)", None),
        ("scheduler.step(accuracy - loss_scale)", None),
        ("scheduler.step(value)", None),
        ("scheduler.step()", None),
    ],
)
def test_what_a_scheduler_is_given_is_read(line, told):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max")
    reading = Reading((Event("scheduler", 1, line, on="scheduler", target=scheduler),))
    found = waits_for_a_loss_to_rise(Run("read", {}), reading)
    assert (None if found is None else found.given) == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("scheduler.step(val_acc)", "val_acc"),
        ("scheduler.step(metrics=scores['f1'])", "scores['f1']"),
        ("scheduler.step(accuracy.item())", "accuracy.item()"),
        ("scheduler.step(1 - val_acc)", None),
        ("scheduler.step(-accuracy)", None),
        ("scheduler.step(acc_loss)", None),
        ("scheduler.step(accumulated)", None),
        ("scheduler.step(score)", None),
    ],
)
def test_what_a_scheduler_that_waits_for_a_fall_is_given_is_read(line, told):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer)
    scheduler.step(0.8)
    reading = Reading((Event("scheduler", 1, line, on="scheduler", target=scheduler),))
    found = waits_for_a_score_to_fall(Run("read", {}), reading, [optimizer], lambda: None)
    assert (None if found is None else found.given) == told
