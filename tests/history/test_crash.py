"""A process that is killed loses the last second of its run at most. `NNI_CRASHES` says how often; 100 times in `make test-all`."""

import os
import random
import sqlite3

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector import Series
from tests.history.children import start, train_until_killed
from tests.history.files import wait_until

CRASHES = int(os.environ.get("NNI_CRASHES", "10"))
LATEST = 2.5


def logged(log):
    """Time and loss of each step, as the child wrote them; a last line that it did not finish is left out."""
    lines = log.read_bytes().split(b"\n")[:-1]
    return np.array([[float(part) for part in line.split()] for line in lines]).reshape(-1, 2)


def opened(path):
    """The run, or None if the process was killed before there was one."""
    try:
        return nni.open_run(path)
    except nni.RunFileError as error:
        if "no such file" in str(error) or "an empty file" in str(error):
            return None
        raise


@pytest.mark.parametrize("crash", range(CRASHES))
def test_a_kill_loses_the_last_second_at_most(crash, tmp_path):
    path, log = tmp_path / "run.sqlite", tmp_path / "log"
    log.touch()
    child = start(train_until_killed, str(path), str(log))
    if crash % 2:  # half of them in the middle of a training, the others at its very beginning too
        wait_until(lambda: log.stat().st_size > 0)
    child.join(moment := random.uniform(0.0, LATEST))
    child.kill()
    child.join()
    steps = logged(log)
    certain = int((steps[:, 0] < steps[-1, 0] - 1.0).sum()) if len(steps) else 0
    run = opened(path)
    if run is None:
        assert not certain, f"killed after {moment} s and {len(steps)} steps"
        return
    loss = Series.join(list(run._table().everything("loss", "train")))
    assert run.steps >= certain, f"killed after {moment} s and {len(steps)} steps"
    assert len(loss) >= certain
    common = min(len(loss), len(steps))
    assert loss.steps[:common].tolist() == list(range(common))
    assert loss.values[:common].tolist() == steps[:common, 1].tolist()
    for quantity in run.quantities():
        for source in run.sources(quantity):
            series = run.series(quantity, source)
            assert (np.diff(series.steps) > 0).all()
    run.close()
    with sqlite3.connect(path) as connection:  # this one repairs what the crash left
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert nni.open_run(path).series("loss", "train").total == len(loss)
