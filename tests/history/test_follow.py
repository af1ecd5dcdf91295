"""A run that another process writes."""

import numpy as np
import pytest

import nn_inspector as nni
from tests.history.children import event, start, train_and_leave, train_until_told
from tests.history.files import wait_until


def _opened(path, **options):
    try:
        return nni.open_run(path, **options)
    except nni.RunFileError:
        return None


def test_a_run_is_followed_while_another_process_writes_it(tmp_path):
    path, stop = tmp_path / "live.sqlite", event()
    child = start(train_until_told, str(path), stop)
    wait_until(lambda: _opened(path) is not None)
    run = nni.open_run(path, follow=True)
    wait_until(lambda: run.steps > 20)
    seen = [run.steps, run.series("loss", "train").total, len(run.at(5))]
    wait_until(lambda: run.steps > seen[0] + 20)
    assert run.series("loss", "train").total > seen[1]
    assert run.parameters["model"] == "Sequential"
    assert run.trace[0].call in ("batch", "forward")
    stop.set()
    child.join(60)
    assert child.exitcode == 0
    loss = run.series("loss", "train")
    assert run.steps == loss.total == loss.steps[-1] + 1
    assert np.array_equal(loss.values[:128], nni.open_run(path).series("loss", "train").values[:128])
    assert run.epochs("train")[-1].complete
    run.close()


@pytest.mark.parametrize("every", [1, 100])
def test_what_was_not_detached_is_written_at_exit(every, tmp_path):
    path = tmp_path / "left.sqlite"
    child = start(train_and_leave, str(path), every)
    child.join(60)
    assert child.exitcode == 0
    run = nni.open_run(path)
    assert run.steps == 18
    assert run.series("loss", "train").total == 18
    assert [file.name for file in tmp_path.iterdir()] == ["left.sqlite"]


def test_two_processes_do_not_take_the_same_file(tmp_path):
    path = tmp_path / "same.sqlite"
    children = [start(train_and_leave, str(path)) for _ in range(3)]
    for child in children:
        child.join(60)
    assert sorted(run.path.name for run in nni.runs(tmp_path)) == ["same-2.sqlite", "same-3.sqlite", "same.sqlite"]
    assert [run.steps for run in nni.runs(tmp_path)] == [18, 18, 18]
