import threading
import time

import pytest
import torch

import nn_inspector as nni
from nn_inspector.steering import RateChange, Steering
from tests.trainings import classifier


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    changed = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        changed.wait(0.01)


@pytest.fixture
def training():
    """A training in a thread of its own, and its inspector."""
    case = classifier()
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader)
    ended = []

    def run():
        try:
            case.run(10_000)
        except nni.TrainingStopped as stop:
            ended.append(stop)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: inspector.run.steps > 0)
    yield case, inspector, ended
    inspector.stop()
    thread.join(30)
    assert not thread.is_alive()
    inspector.detach()


def paused(inspector):
    inspector.pause()
    wait_until(lambda: inspector._steering.is_waiting)
    return inspector.run.steps


def test_a_paused_training_stands_still_and_goes_on(training):
    _, inspector, _ = training
    step = paused(inspector)
    own = inspector.overhead.own_seconds
    assert inspector.is_paused
    assert inspector.is_training
    threading.Event().wait(0.3)
    assert inspector.run.steps == step
    inspector.resume()
    wait_until(lambda: inspector.run.steps > step)
    assert not inspector.is_paused
    assert inspector.overhead.own_seconds - own < 0.25, "a pause is not on our account"


def test_views_are_told_when_it_begins_to_wait(training):
    _, inspector, _ = training
    told = []
    inspector.subscribe(lambda: None, lambda: told.append(inspector.run.steps))
    step = paused(inspector)
    wait_until(lambda: told == [step])


def test_single_steps(training):
    _, inspector, _ = training
    step = paused(inspector)
    for number in (1, 2):
        inspector.single_step()
        wait_until(lambda number=number: inspector.run.steps == step + number and inspector._steering.is_waiting)


def test_a_paused_training_can_be_stopped(training):
    _, inspector, ended = training
    paused(inspector)
    inspector.stop()
    wait_until(lambda: ended)
    assert not inspector.is_paused


def test_a_new_rate_holds_from_the_next_step_and_is_noted(training):
    case, inspector, _ = training
    paused(inspector)
    inspector.set_learning_rate(0.025)
    inspector.single_step()
    wait_until(lambda: inspector._steering.is_waiting and case.optimizer.param_groups[0]["lr"] == 0.025)
    (note,) = inspector.run.metadata["notes"]
    assert note["what"] == "learning rate of all groups set to 0.025"
    inspector.single_step()
    wait_until(lambda: inspector.run.last("learning_rate", "optimizer 0 group 0") == 0.025)


def test_a_stop_just_after_a_single_step_is_met():
    steering = Steering([])
    steering.pause()
    steering.single_step()
    steering.stop()
    assert steering.at_step_boundary(lambda: None) == (True, [])


@pytest.mark.parametrize(
    "ask",
    [
        Steering.stop,
        Steering.pause,
        Steering.single_step,
        lambda steering: steering.set_learning_rate(0.5, None),
    ],
)
def test_there_is_something_to_do_only_where_something_was_asked(ask):
    steering = Steering([torch.optim.SGD([torch.zeros(1)], lr=0.1)])
    assert not steering.is_asked
    ask(steering)
    assert steering.is_asked
    steering.forget()
    assert not steering.is_asked


def test_what_no_step_has_met_is_forgotten():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        inspector.stop(), inspector.pause(), inspector.set_learning_rate(9.0)
        inspector.forget_requests()
        case.run(1)
        assert inspector.run.steps == 6
        assert case.optimizer.param_groups[0]["lr"] == 0.1


def test_an_interrupt_ends_a_pause(monkeypatch):
    steering = Steering([])
    steering.pause()
    monkeypatch.setattr(steering._go_on, "wait", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        steering.at_step_boundary(lambda: None)
    assert not steering.is_paused


def groups():
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    return torch.optim.Adam([{"params": [w], "lr": 0.1} for w in weights])


@pytest.mark.parametrize(("group", "rates"), [(None, [0.5, 0.5]), (1, [0.1, 0.5]), ("optimizer 0 group 0", [0.5, 0.1])])
def test_groups_are_named_by_number_or_name(group, rates):
    optimizer = groups()
    steering = Steering([optimizer])
    steering.set_learning_rate(0.5, group)
    assert steering.at_step_boundary(lambda: None) == (
        False,
        [RateChange(0.5, None if group is None else f"optimizer 0 group {int(group == 1)}")],
    )
    assert [g["lr"] for g in optimizer.param_groups] == rates


def test_rates_are_multiplied_each_from_where_it_is_in_the_order_in_which_it_was_asked():
    optimizer = groups()
    optimizer.param_groups[1]["lr"] = 0.4
    steering = Steering([optimizer])
    steering.scale_learning_rate(0.5, None)
    steering.scale_learning_rate(2, 1)
    steering.set_learning_rate(1.0, 0)
    steering.scale_learning_rate(0.5, 0)
    _, changes = steering.at_step_boundary(lambda: None)
    assert [change.words for change in changes] == [
        "learning rate of all groups multiplied by 0.5",
        "learning rate of optimizer 0 group 1 multiplied by 2",
        "learning rate of optimizer 0 group 0 set to 1",
        "learning rate of optimizer 0 group 0 multiplied by 0.5",
    ]
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.4]


def test_a_rate_that_is_a_tensor_stays_one():
    rate = torch.tensor(0.1)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=rate)
    steering = Steering([optimizer])
    steering.set_learning_rate(0.5, None)
    steering.scale_learning_rate(0.5, None)
    steering.at_step_boundary(lambda: None)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate == 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, None), r"value: expected a learning rate from 0, got -1.0. Try 0.001."),
        ((float("nan"), None), "value: expected a learning rate"),
        (("fast", None), "value: expected a learning rate from 0, got 'fast'"),
        ((0.1, 7), "group: expected a parameter group, got 7. There are: optimizer 0 group 0, optimizer 0 group 1."),
        ((0.1, "head"), "group: expected a parameter group, got 'head'"),
    ],
)
def test_bad_input_is_told(arguments, message):
    with pytest.raises(nni.ArgumentError, match=message):
        Steering([groups()]).set_learning_rate(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, None), "factor: expected a number above 0, got 0.0. 0.5 halves the rate."),
        ((float("inf"), None), "factor: expected a number above 0, got inf"),
        ((True, None), "factor: expected a number above 0, got True"),
        ((None, None), "factor: expected a number above 0, got None"),
        ((0.5, "head"), "group: expected a parameter group, got 'head'"),
    ],
)
def test_what_is_no_factor_is_told(arguments, message):
    with pytest.raises(nni.ArgumentError, match=message):
        Steering([groups()]).scale_learning_rate(*arguments)
