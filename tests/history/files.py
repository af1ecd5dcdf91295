"""Run files for the tests, written with and without a thread."""

import contextlib
import threading
import time
from pathlib import Path

import numpy as np

from nn_inspector.history import open_run
from nn_inspector.history.entries import Entries
from nn_inspector.history.facts import Facts
from nn_inspector.history.schema import close_written, open_to_write
from nn_inspector.history.staging import Staging
from nn_inspector.probes import Measurement


def wait_until(condition, seconds=30.0):
    """Look again and again until it holds."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        pause.wait(0.01)


@contextlib.contextmanager
def writing(path, facts=None):
    """A file that is written in this thread: yields a function of measurements that makes one transaction."""
    path = Path(path)
    path.touch()
    connection = open_to_write(path)
    staging = Staging()
    entries = Entries(facts or Facts(path.stem, {}), staging)

    def write(measurements):
        staging.put(measurements)
        return entries.write(connection)

    try:
        yield write
    finally:
        close_written(connection)


def numbers(start, stop, sources=("train",), value=float):
    return [Measurement(step, "loss", source, value(step)) for step in range(start, stop) for source in sources]


def long_file(path, steps, sources=("train",), batch=5000):
    with writing(path, facts := Facts(path.stem, {})) as write:
        for start in range(0, steps, batch):
            facts.steps = min(steps, start + batch)
            write(numbers(start, facts.steps, sources))
    return open_run(path)


def assert_same_array(a, b):
    assert np.array_equal(a, b, equal_nan=True), (a, b)
