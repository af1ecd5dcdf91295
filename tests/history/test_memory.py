"""What a run costs in memory does not grow with its length."""

import gc
import tracemalloc

import numpy as np

from nn_inspector.history import Run
from nn_inspector.probes import Measurement
from tests.history.files import wait_until

SOURCES = [f"layer {index}" for index in range(6)]
MIB = 2**20


def record(run, start, stop):
    for step in range(start, stop):
        values = [Measurement(step, "norm", source, step + 0.5) for source in SOURCES]
        vectors = [Measurement(step, "histogram", "layer 0", np.full(129, float(step)))] if step % 10 == 0 else []
        run.record([*values, *vectors])
        run.steps = step + 1
    if run.path is not None:
        wait_until(lambda: not run._writer._staging.waiting)
        assert run._writer.hold()  # the transaction that took the last ones is over
        run._writer.release()
    gc.collect()


def growth(run):
    """MiB more after 30,000 steps than after 3,000."""
    record(run, 0, 3000)
    tracemalloc.start()
    try:
        record(run, 3000, 30_000)
        return tracemalloc.get_traced_memory()[0] / MIB
    finally:
        tracemalloc.stop()


def test_memory_is_bounded():
    assert growth(Run("a", {})) < 0.6


def test_memory_is_bounded_with_a_file(tmp_path):
    run = Run("a", {})
    run.write_to(tmp_path / "a.sqlite", print)
    assert growth(run) < 1.0
    run.close()
