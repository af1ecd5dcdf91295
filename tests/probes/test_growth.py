"""A watched training needs no more memory the longer it runs. `NNI_STEPS` says how long; 100,000 in `make test-all`."""

import gc
import multiprocessing
import os
import sys

import pytest
import torch
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.probes.memory import resident_bytes
from tests.trainings import blobs, classifier

STEPS = int(os.environ.get("NNI_STEPS", "3000"))
FROM = min(1000, STEPS // 3)
MIB = 2**20


def growth(every, path):
    """MiB of this process that came between two steps of a training which is written to a file."""
    torch.set_num_threads(1)
    c = classifier()
    loader = DataLoader(blobs(), batch_size=16, shuffle=True)
    steps = before = 0
    with nni.watch(
        c.model, c.optimizer, c.loss_fn, train_loader=loader, every=every, run=path, keep_samples=True, show=False
    ):
        while True:
            for x, y in loader:
                c.optimizer.zero_grad()
                c.loss_fn(c.model(x), y).backward()
                c.optimizer.step()
                steps += 1
                if steps == FROM:
                    before = _resident()
                if steps == STEPS:
                    return (_resident() - before) / MIB


def _resident():
    gc.collect()
    return resident_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory is resident now")
@pytest.mark.parametrize("every", ["auto", 5])
def test_memory_does_not_grow_with_the_steps(every, tmp_path):
    context = multiprocessing.get_context("forkserver")  # what other tests left behind is not there
    context.set_forkserver_preload(["tests.probes.test_growth"])
    with context.Pool(1) as pool:
        assert pool.apply(growth, (every, str(tmp_path / "run.sqlite"))) < 10
