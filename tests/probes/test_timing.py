"""Time of steps, waiting for data, and memory."""

import time

import torch
from torch import nn

from tests.probes.closely import closely_watched
from tests.trainings import FEATURES, Case, classifier, mlp


def test_time_memory_and_waiting():
    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            end = time.perf_counter() + 0.002
            while time.perf_counter() < end:
                pass
            return torch.ones(FEATURES), 0

    model = mlp()
    case = Case(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        nn.CrossEntropyLoss(),
        torch.utils.data.DataLoader(Slow(), batch_size=2),
    )
    with closely_watched(model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        begin = time.perf_counter()
        case.run(1)
        elapsed = time.perf_counter() - begin
    run = inspector.run
    assert run.series("step_seconds", "train").steps.tolist() == [1, 2, 3]
    assert run.series("data_seconds", "train").low.min() > 0.004
    assert (run.series("data_seconds", "train").values <= run.series("step_seconds", "train").values).all()
    assert run.series("step_seconds", "train").values.sum() < elapsed
    assert run.last("memory_bytes", "process") > 2**24
    assert len(run.series("memory_bytes", "process")) <= 1 + elapsed


def test_a_pause_is_no_step(monkeypatch):
    case, clock, offset = classifier(), time.perf_counter, [0.0]
    monkeypatch.setattr("nn_inspector.probes.timing.time.perf_counter", lambda: clock() + offset[0])
    with closely_watched(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
        inspector.settle()
        offset[0] += 3600
        case.run(1)
    assert len(inspector.run.series("step_seconds", "train")) == 10
    assert inspector.run.series("step_seconds", "train").high.max() < 600
