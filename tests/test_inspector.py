import threading
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.watching import current_inspector
from tests.trainings import blobs, classifier, mlp, sorted_by_label, watch


def test_stop_ends_the_loop_at_the_next_step_boundary():
    case = classifier()
    with watch(case) as inspector:
        seen = []
        with pytest.raises(nni.TrainingStopped, match="Training stopped after step 4, as you asked"):
            for _ in range(100):
                for x, y in case.train_loader:
                    case.optimizer.zero_grad()
                    case.loss_fn(case.model(x), y).backward()
                    if len(seen) == 3:
                        inspector.stop()
                    case.optimizer.step()
                    seen.append(inspector.run.steps)
        assert seen == [1, 2, 3]
        assert inspector.run.steps == 4
        case.run(1)
        assert inspector.run.steps == 10, "the training goes on when it is started again"


@pytest.mark.parametrize("event", ["a number is logged", "a validation pass ends"])
def test_what_comes_between_steps_is_in_the_run_at_once_with_all_before_it(event):
    """No step may ever follow it."""
    case, validation = classifier(), DataLoader(blobs(32, seed=1), batch_size=16)
    with watch(case, every=100, val_loader=validation) as inspector:
        case.run(1)
        if event == "a number is logged":
            inspector.log(accuracy=0.5)
            assert inspector.run.last("accuracy", "train") == 0.5
        else:
            with torch.no_grad():
                losses = [case.loss_fn(case.model(x), y).item() for x, y in validation]
            assert inspector.run.last("loss", "validation") == pytest.approx(sum(losses) / 2)
        assert inspector.run.series("loss", "train").steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_an_error_of_ours_while_detaching_leaves_no_hook_and_reaches_nobody():
    def broken(numbers):
        raise IndexError("nothing there")

    case = classifier()
    with watch(case, every=1) as inspector:
        case.run(1)
        inspector._recorder.put(torch.zeros(1), broken)
    assert any("nothing there" in problem for problem in inspector.problems)
    assert not case.optimizer._optimizer_step_pre_hooks
    assert not case.model._forward_hooks


def test_stop_from_another_thread():
    case = classifier()
    with watch(case) as inspector:
        threading.Timer(0.2, inspector.stop).start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            while time.monotonic() - begin < 30:
                case.run(1)
        assert time.monotonic() - begin < 10


def test_a_stop_is_not_swallowed_by_loops_that_catch_exceptions():
    assert not issubclass(nni.TrainingStopped, Exception)


def test_a_stop_that_met_no_step_can_be_forgotten():
    case = classifier()
    with watch(case) as inspector:
        inspector.stop()
        inspector.forget_requests()
        case.run(1)
        assert inspector.run.steps == 6


def test_it_knows_whether_a_training_runs():
    case = classifier()
    with watch(case) as inspector:
        assert not inspector.is_training
        case.run(1)
        assert inspector.is_training
        inspector.settle()
        assert not inspector.is_training


def test_an_optimizer_is_found_by_its_steps():
    from torch.optim.optimizer import _global_optimizer_pre_hooks

    before = set(_global_optimizer_pre_hooks)
    case, other = classifier(), classifier()
    with nni.watch(case.model, loss_fn=case.loss_fn, train_loader=case.train_loader) as inspector:
        other.run(1)
        assert inspector.run.steps == 0
        case.run(1)
        assert inspector.run.steps == 6
        assert inspector.training.optimizers == [case.optimizer]
        assert inspector.run.parameters["optimizers"][0]["name"] == "SGD"
        assert inspector.check("zeroed_gradients").severity == "ok"
    assert set(_global_optimizer_pre_hooks) <= before


def test_numbers_of_the_users_own_are_recorded():
    case = classifier()
    with watch(case) as inspector:
        case.run(1)
        inspector.log(accuracy=torch.tensor(0.5), temperature=2)
        inspector.validation(loss=1.25, accuracy=0.75)
        assert inspector.run.last("accuracy", "train") == 0.5
        assert inspector.run.last("loss", "validation") == 1.25
        with pytest.raises(nni.ArgumentError, match=r"accuracy: expected one number, got a Tensor of shape \[2\]"):
            inspector.log(accuracy=torch.zeros(2))


def test_a_model_that_is_never_called_itself_is_said_aloud():
    case = classifier()
    with watch(case) as inspector:
        x, y = blobs(16).tensors
        for _ in range(3):
            case.loss_fn(case.model.forward(x), y).backward()
            case.optimizer.step()
        assert "not called as model(x)" in inspector.problems[0]


def test_a_loss_that_is_never_seen_is_said_aloud():
    case = classifier()
    with nni.watch(case.model, case.optimizer) as inspector:
        x, _ = blobs(16).tensors
        for _ in range(3):
            torch.autograd.backward(case.model(x).square().mean())
            case.optimizer.step()
        assert inspector.problems == [
            "No loss was seen. Pass loss_fn=... as a module, or log it with inspector.log(loss=...)."
        ]


@pytest.mark.parametrize("probe", ["activations.ActivationProbe.observe", "loss.LossProbe._leave_module", "zeroing.ZeroingProbe._on_backward",
                                   "gradients.GradientProbe.before_step", "updates.UpdateProbe.after_step", "forward.ForwardProbe._begin",
                                   "loss_calls.LossCall.facts", "batches.Epoch.add"])  # fmt: skip
def test_an_error_in_a_probe_never_reaches_the_training(monkeypatch, probe):
    case = classifier()
    bare = classifier()
    torch.manual_seed(1)
    expected = bare.run(3)
    module, name, method = f"nn_inspector.probes.{probe}".rsplit(".", 2)
    monkeypatch.setattr(f"{module}.{name}.{method}", lambda *args, **kwargs: 1 / 0)
    torch.manual_seed(1)
    with watch(case, every=1) as inspector:
        assert case.run(3) == expected
        problems = inspector.problems
    assert any("switched itself off: ZeroDivisionError" in problem for problem in problems), problems
    assert inspector.run.steps == 18


def test_a_view_that_fails_is_switched_off_and_said():
    case = classifier()
    with watch(case) as inspector:
        inspector.subscribe(lambda: 1 / 0)
        with pytest.warns(nni.InspectorWarning, match="A live view was switched off: ZeroDivisionError"):
            case.run(1)
        case.run(1)
        assert len(inspector.problems) == 1
    assert inspector.run.steps == 12


def test_an_interrupt_in_the_middle_of_a_step_leaves_nothing_on_the_stack():
    case = classifier()
    with watch(case) as inspector:
        x, y = blobs(16).tensors
        with pytest.raises(KeyboardInterrupt):
            F.cross_entropy(case.model(x), y)
            raise KeyboardInterrupt
        inspector.settle()
        assert torch.overrides._get_current_function_mode_stack() == []
        case.run(1)
        assert inspector.run.steps == 6


def test_leaving_the_block_detaches_and_the_run_stays_readable():
    case = classifier()
    with watch(case) as inspector:
        case.run(1)
    case.run(1)
    assert inspector.run.steps == 6
    assert inspector.check("zeroed_gradients").severity == "ok"
    assert current_inspector() is None
    assert "detached from Sequential: 6 steps" in repr(inspector)


def test_overhead_is_accounted_for():
    case = classifier()
    with watch(case, every=5) as inspector:
        case.run(5)
    overhead = inspector.overhead
    assert overhead.steps == 30
    assert overhead.measured_steps == 6
    assert 0 < overhead.own_seconds <= overhead.total_seconds
    assert overhead.share == overhead.own_seconds / overhead.total_seconds
    assert overhead.first_seconds > 0
    assert "6 of 30 steps measured in full" in str(overhead)


@pytest.mark.parametrize("every", [1, 3, 7])
def test_a_fixed_cadence_is_kept_exactly(every):
    case = classifier()
    with watch(case, every=every) as inspector:
        case.run(4)
    steps = inspector.run.series("gradient_norm", "0.weight").steps.tolist()
    assert steps == list(range(0, 24, every))


def test_a_script_sees_no_view():
    assert nni.views.in_notebook() is False


def test_several_optimizers_step_by_step():
    model = mlp()
    optimizers = [torch.optim.SGD(model[index].parameters(), lr=0.1) for index in (0, 2)]
    x, y = blobs(16).tensors
    with nni.watch(model, optimizers, nn.CrossEntropyLoss(), every=1) as inspector:
        for _ in range(3):
            for optimizer in optimizers:
                optimizer.zero_grad()
            inspector.training.loss_fn(model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    assert inspector.run.steps == 6
    assert inspector.run.series("gradient_norm", "0.weight").steps.tolist() == [0, 2, 4]
    assert inspector.run.series("gradient_norm", "2.weight").steps.tolist() == [1, 3, 5]


def test_a_check_that_is_silenced_is_listed_with_the_reason_and_raises_nothing():
    case = classifier(data=sorted_by_label(blobs(600, spread=2.5)), shuffle=False)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        case.run(3)
        assert inspector.check("shuffling", seconds=0).raised
        inspector.silence("shuffling", "they are a time series")
        expected = "Silenced (they are a time series), else a"
        for finding in (
            inspector.run.finding("shuffling"),
            inspector.check("shuffling", seconds=0),
            *(one for one in inspector.diagnose(active=False).findings if one.check == "shuffling"),
        ):
            assert finding.severity == "info"
            assert finding.message.startswith(expected)
        inspector.unsilence("shuffling")
        assert inspector.check("shuffling", seconds=0).raised


def test_silencing_wants_a_known_check_and_a_reason():
    case = classifier()
    with nni.watch(case.model, case.optimizer) as inspector:
        with pytest.raises(nni.ArgumentError, match="shuffling"):
            inspector.silence("shufling", "a time series")
        with pytest.raises(nni.ArgumentError, match="reason: expected a text"):
            inspector.silence("shuffling", " ")
        with pytest.raises(nni.ArgumentError, match="These are silenced: none"):
            inspector.unsilence("shuffling")
