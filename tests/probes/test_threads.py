"""Only the thread that trains is looked at, whatever others do with the model at the same time."""

import _thread
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.probes.training_thread import Sign, TrainingThread
from tests.trainings import blobs, classifier, mlp

CONCURRENT = textwrap.dedent("""
    import sys, threading
    import torch
    from torch import nn
    import nn_inspector as nni

    sys.setswitchinterval(1e-4)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(32, 8, generator=generator), torch.randint(0, 3, (32,), generator=generator)
    STEPS = 60

    def train(watched, work):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))
        optimizer, loss_fn = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
        inspector = nni.watch(model, optimizer, loss_fn, every=1, probes="full", show=False) if watched else None
        over, began = threading.Event(), threading.Event()

        def other():
            while not over.is_set():
                work(model)
                began.set()

        thread = threading.Thread(target=other)
        thread.start()
        began.wait()
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        over.set()
        thread.join()
        if inspector is not None:
            assert inspector.problems == [], inspector.problems
            assert inspector.run.steps == STEPS
            assert len(inspector.run.series("loss", "validation")) == 0
            seen = inspector.run.series("loss", "train").values.tolist()
            assert seen == [float(torch.tensor(loss)) for loss in losses[STEPS - len(seen):]], "a loss of another thread"
            assert len(seen) >= STEPS - 1
            for quantity in ("activation_mean", "gradient_norm"):
                for source in inspector.run.sources(quantity):
                    assert len(inspector.run.series(quantity, source)) >= STEPS - 1, (quantity, source)
            inspector.detach()
        return losses

    def evaluate(model):
        with torch.no_grad():
            model(x)

    def with_gradients(model):
        model(x)

    def slope(model):
        inputs = x.clone().requires_grad_()
        torch.autograd.grad(model(inputs).sum(), inputs)

    for work in (evaluate, with_gradients, slope):
        bare = train(False, work)
        for _ in range(2):
            assert train(True, work) == bare, work
""")


def test_another_thread_runs_the_model_all_the_time():
    """In a process of its own: a gradient that is read while backward() writes it ends the process."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CONCURRENT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def elsewhere(work):
    """Do something in another thread and wait for it; return what it returned."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


class Worker:
    """A thread that stays."""

    def __init__(self):
        self._asked, self._answered, self._work, self._answer = threading.Event(), threading.Event(), None, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._work is None:
                return
            self._answer = self._work()
            self._answered.set()

    def __call__(self, work):
        self._work = work
        self._asked.set()
        self._answered.wait()
        self._answered.clear()
        return self._answer

    def end(self):
        self._work = None
        self._asked.set()
        self._thread.join()


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.end()


def test_a_thread_takes_over_with_a_surer_sign_only(worker):
    thread = TrainingThread()
    assert thread.is_here
    assert not worker(thread.admits)
    for sign in (Sign.BATCH, Sign.FORWARD, Sign.STEP):
        assert worker(lambda sign=sign: thread.admits(sign))
        assert not thread.admits()
        assert not thread.admits(Sign.BATCH)


def test_a_pass_without_gradients_is_no_sign(worker):
    thread = TrainingThread()
    with torch.no_grad():
        assert thread.admits(Sign.FORWARD)

    def evaluate():
        with torch.no_grad():
            return thread.admits(Sign.FORWARD)

    assert not worker(evaluate)
    assert worker(lambda: thread.admits(Sign.FORWARD))


def test_two_threads_with_gradients_wait_for_a_step(worker):
    thread = TrainingThread()
    assert thread.admits(Sign.FORWARD)
    assert not worker(lambda: thread.admits(Sign.FORWARD))
    assert not thread.admits(Sign.FORWARD)
    assert not thread.admits()
    assert thread.admits(Sign.STEP)
    assert thread.is_here


def test_a_thread_that_steps_alone_takes_over_with_its_second_step(worker):
    thread = TrainingThread()
    assert thread.admits(Sign.STEP)
    assert not worker(lambda: thread.admits(Sign.STEP))
    assert thread.admits(Sign.STEP)
    assert not worker(lambda: thread.admits(Sign.STEP))
    assert worker(lambda: thread.admits(Sign.STEP))
    assert not thread.is_here


def test_a_thread_that_has_ended_is_followed_at_once():
    thread = TrainingThread()
    assert elsewhere(lambda: thread.admits(Sign.STEP))
    assert thread.admits(Sign.FORWARD)


@pytest.mark.parametrize("in_backward", [True, False])
def test_threads_of_autograd_work_for_the_training(in_backward, monkeypatch, worker):
    """They run backward() on other devices than the CPU, and Python does not know them."""
    thread, found, done = TrainingThread(), [], threading.Event()

    def run():
        found.append(thread.admits())
        found.append(thread.admits(Sign.STEP))
        done.set()

    if in_backward:
        monkeypatch.setattr(torch._C, "_current_graph_task_id", lambda: 0)
        assert not worker(thread.admits)
    _thread.start_new_thread(run, ())
    assert done.wait(30)
    assert found == ([True, True] if in_backward else [False, True])
    assert thread.is_here == in_backward


def test_a_training_in_a_thread_is_measured_from_its_first_step():
    c = classifier()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1) as inspector:
        losses = elsewhere(lambda: c.run(1))
        assert inspector.run.series("loss", "train").values.tolist() == pytest.approx(losses)
        losses += elsewhere(lambda: c.run(1)) + c.run(1)
    assert inspector.run.series("loss", "train").values.tolist() == pytest.approx(losses)
    assert inspector.problems == []
    assert [entry.call for entry in list(inspector.run.trace)[:2]] == ["batch", "forward"]


def test_a_training_in_a_thread_with_an_optimizer_that_is_found():
    c = classifier()
    with nni.watch(c.model, None, c.loss_fn, every=1) as inspector:
        elsewhere(lambda: c.run(1))
        assert inspector.run.steps == 6
        assert inspector.problems == []


def test_batches_that_another_thread_fetches(worker):
    """The loop goes on to be seen; what the fetching thread does is not taken for it."""
    c = classifier()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1) as inspector:
        for _ in range(3):
            iterator = iter(c.train_loader)
            while (batch := worker(lambda iterator=iterator: next(iterator, None))) is not None:
                c.optimizer.zero_grad()
                c.loss_fn(c.model(batch[0]), batch[1]).backward()
                c.optimizer.step()
    assert inspector.problems == []
    assert inspector.run.steps == 18
    assert len(inspector.run.series("loss", "train")) == 18
    assert [epoch.batches for epoch in inspector.run.epochs("train")] == [6, 6, 6]
    assert torch.overrides._get_current_function_mode_stack() == []


def test_another_network_that_trains_in_a_thread_is_none_of_the_training(worker):
    c, other = classifier(), classifier(data=blobs(seed=3))
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1) as inspector:
        losses = c.run(1)
        worker(lambda: other.run(1))
        losses += c.run(1)
    assert inspector.run.series("loss", "train").values.tolist() == pytest.approx(losses)
    assert inspector.problems == []


class Branches(nn.Module):
    """Runs its two parts in threads, as nn.DataParallel does."""

    def __init__(self, pool):
        super().__init__()
        self.parts, self.pool = nn.ModuleList([mlp(), mlp(seed=1)]), pool

    def forward(self, x):
        return sum(self.pool(lambda part=part: part(x)) for part in self.parts)


def test_parts_that_run_in_threads_of_the_forward_pass_are_left_out(worker):
    model = Branches(worker)
    optimizer, loss_fn = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    loader = DataLoader(blobs(), batch_size=16)
    with nni.watch(model, optimizer, loss_fn, every=1) as inspector:
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    assert inspector.problems == []
    assert inspector.run.steps == len(inspector.run.series("loss", "train")) == 6
    assert len(inspector.run.series("gradient_norm", "parts.1.0.weight")) == 6
    assert "parts.0.0" not in inspector.run.sources("activation_mean")
