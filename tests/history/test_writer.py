import gc
import os
import sqlite3
import threading
import warnings

import numpy as np
import pytest
import torch

import nn_inspector as nni
from nn_inspector.history import Run, entries, schema, staging, writer
from nn_inspector.probes import Epoch, Measurement, TraceEntry
from tests.history.children import event, hold_lock, start
from tests.history.files import assert_same_array, numbers, wait_until
from tests.trainings import classifier


@pytest.fixture
def trouble():
    return []


@pytest.fixture
def run(tmp_path, trouble):
    run = Run("demo", {"model": "Net", "lr": [0.1, float("nan")]})
    run.write_to(tmp_path / "demo.sqlite", trouble.append)
    yield run
    run.close()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "nn_inspector writer"]


def add(run, start, stop):
    run.record(numbers(start, stop))
    run.steps = stop


def test_everything_comes_back(run, tmp_path):
    trial = nni.Trial([2.0, float("inf")], [2.0, 0.5], helped=True)
    findings = [
        nni.Finding(
            "a", "error", "m", {"x": float("nan"), "y": [1.0, 2.0]}, nni.Remedy("do", "code", trial), "here", ("s",)
        ),
        nni.Finding("b", "ok", "fine"),
    ]
    for finding in findings:
        run.add_finding(finding)
    run.motivation = "to see <b>why</b>"
    run.metadata = {"seed": 3}
    run.trace.append(TraceEntry(0, "forward", {"shape": [2, 3], "mode": "train", "none": None}))
    for number in range(200):
        run.add_epoch(Epoch("train", number, 5 * number, 3, complete=True, class_counts=np.array([number, 2])))
    run.add_epoch(Epoch("validation", 0, 0))
    run.record([Measurement(0, "histogram", "layer", np.array([1.0, np.nan]))])
    add(run, 0, 5000)
    run.close()
    saved = nni.open_run(tmp_path / "demo.sqlite")
    assert (saved.name, saved.steps, saved.motivation) == ("demo", 5000, "to see <b>why</b>")
    assert str(saved.parameters) == str(run.parameters)
    assert saved.metadata == run.metadata
    assert str(saved.findings) == str(run.findings)
    assert saved.finding("b") == run.finding("b")
    assert list(saved.trace) == list(run.trace)
    for loader in ("train", "validation"):
        assert [str(epoch) for epoch in saved.epochs(loader)] == [str(epoch) for epoch in run.epochs(loader)]
    assert_same_array(saved.last_vector("histogram", "layer"), run.last_vector("histogram", "layer"))
    assert saved.last("loss", "train") == 4999.0


def test_closing_leaves_one_file_and_no_thread(run, tmp_path):
    add(run, 0, 10)
    assert len(threads()) == 1
    run.close()
    assert threads() == []
    assert [file.name for file in tmp_path.iterdir()] == ["demo.sqlite"]
    with sqlite3.connect(tmp_path / "demo.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",), (
            "it is read without making a file beside"
        )
    connection.close()
    run.close()


def test_a_finding_after_the_end_is_written_too(run, tmp_path):
    add(run, 0, 10)
    run.close()
    run.add_finding(nni.Finding("late", "ok", ""))
    wait_until(lambda: nni.open_run(tmp_path / "demo.sqlite").finding("late") is not None)
    wait_until(lambda: not threads())


def test_a_quiet_run_lets_go_of_its_file_and_takes_it_up_again(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(writer, "PERIOD", 0.001)
    run = Run("demo", {})
    run.write_to(tmp_path / "a.sqlite", trouble.append)
    add(run, 0, 10)
    wait_until(lambda: not threads())
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]
    add(run, 10, 20)
    run.close()
    assert nni.open_run(tmp_path / "a.sqlite").series("loss", "train").total == 20
    assert trouble == []


def test_a_run_that_nobody_needs_ends_its_thread(tmp_path, trouble):
    run = Run("demo", {})
    run.write_to(tmp_path / "a.sqlite", trouble.append)
    add(run, 0, 10)
    del run
    gc.collect()
    wait_until(lambda: not threads())
    assert nni.open_run(tmp_path / "a.sqlite").steps == 10


def test_a_run_without_anything_leaves_no_file(run, tmp_path):
    run.close()
    assert list(tmp_path.iterdir()) == []
    assert run.path is None


def test_a_name_that_is_taken_gets_a_number(tmp_path, trouble):
    (tmp_path / "demo.sqlite").write_text("mine")
    found = []
    for _ in range(3):
        run = Run("demo", {})
        run.write_to(tmp_path / "demo.sqlite", trouble.append)
        add(run, 0, 1)
        run.close()
        found.append((run.path.name, run.name))
    assert found == [("demo-2.sqlite", "demo-2"), ("demo-3.sqlite", "demo-3"), ("demo-4.sqlite", "demo-4")]
    assert (tmp_path / "demo.sqlite").read_text() == "mine"


# what disks do


def _write_and_fail(run, trouble, start=10):
    """Go on recording until the trouble is noticed; the run itself must not suffer."""
    step = start
    while not trouble:
        add(run, step, step + 10)
        step += 10
        threading.Event().wait(0.001)
    add(run, step, step + 10)
    run.close()
    assert len(trouble) == 1
    assert "It goes on in memory." in trouble[0]
    assert run.series("loss", "train").total == step + 10
    assert threads() == []
    return trouble[0]


def test_a_full_disk_ends_the_file_and_not_the_run(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(writer, "PERIOD", 0.01)
    original = schema.open_to_write

    def small(path):
        connection = original(path)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(writer, "open_to_write", small)
    run = Run("demo", {})
    run.write_to(tmp_path / "demo.sqlite", trouble.append)
    add(run, 0, 100)
    wait_until(lambda: _steps(tmp_path / "demo.sqlite") == 100)
    step, total = 100, 100
    while not trouble:
        add(run, step, step + 1000)
        step, total = step + 1000, total + 1000
        threading.Event().wait(0.01)
    assert "database or disk is full" in trouble[0]
    run.close()
    saved = nni.open_run(tmp_path / "demo.sqlite")
    assert 100 <= saved.steps < total
    assert saved.series("loss", "train").total == saved.steps
    assert run.series("loss", "train").total == total


def _steps(path):
    try:
        return nni.open_run(path).steps
    except nni.RunFileError:
        return None


def test_a_folder_that_vanishes_ends_the_file_and_not_the_run(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(writer, "PERIOD", 0.01)
    run = Run("demo", {})
    run.write_to(tmp_path / "folder" / "demo.sqlite", trouble.append)
    add(run, 0, 10)
    wait_until(lambda: _steps(tmp_path / "folder" / "demo.sqlite") == 10)
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    assert "FileNotFoundError" in _write_and_fail(run, trouble)


def test_a_lock_of_another_process_ends_the_file_and_not_the_run(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(schema, "_PATIENCE", 0.05)
    monkeypatch.setattr(schema, "on_network", lambda path: True)
    monkeypatch.setattr(writer, "PERIOD", 0.01)
    run = Run("demo", {})
    run.write_to(tmp_path / "demo.sqlite", trouble.append)
    add(run, 0, 10)
    wait_until(lambda: _steps(tmp_path / "demo.sqlite") == 10)
    locked, release = event(), event()
    child = start(hold_lock, str(tmp_path / "demo.sqlite"), locked, release)
    locked.wait()
    assert "database is locked" in _write_and_fail(run, trouble)
    release.set()
    child.join()
    assert nni.open_run(tmp_path / "demo.sqlite").steps == 10


def test_a_disk_that_is_too_slow_costs_values_and_not_memory(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(staging, "MOST_WAITING", 1000)
    held, go_on = threading.Event(), threading.Event()
    original = entries.Entries.write

    def slow(self, connection):
        held.set()
        go_on.wait()
        return original(self, connection)

    monkeypatch.setattr(entries.Entries, "write", slow)
    run = Run("demo", {})
    run.write_to(tmp_path / "demo.sqlite", trouble.append)
    held.wait()
    for step in range(0, 5000, 10):
        add(run, step, step + 10)
    assert run._writer._staging.waiting <= 1001
    go_on.set()
    run.close()
    assert "values that came faster than the disk took them" in trouble[0]
    assert nni.open_run(tmp_path / "demo.sqlite").steps == 5000


def test_vectors_that_no_file_can_hold_are_said_to_be_missing(run, tmp_path, trouble):
    run.record([Measurement(0, "huge", "x", np.zeros(10_000))])
    add(run, 0, 5)
    run.close()
    assert "vectors that are too long or whose length changed (huge of x)" in trouble[0]
    assert nni.open_run(tmp_path / "demo.sqlite").quantities() == ["loss"]


@pytest.mark.parametrize("kind", ["file in the way", "no such device"])
def test_a_folder_that_cannot_be_written_is_said_and_the_run_is_in_memory(tmp_path, kind):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "runs" / "a.sqlite" if kind == "file in the way" else "/proc/nothing/a.sqlite"
    case = classifier()
    with pytest.warns(nni.InspectorWarning, match="It is kept in memory only"):
        inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, run=path)
    with inspector:
        case.run(1)
        assert inspector.run.path is None
        assert inspector.run.steps == 6
        assert "It is kept in memory only" in inspector.problems[0]


def test_a_network_drive_is_known_by_its_mount(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"a / ext4 rw 0 0\nb {tmp_path}/far\\040away nfs4 rw 0 0\n")
    (tmp_path / "far away").mkdir()
    assert schema.on_network(tmp_path / "far away" / "a.sqlite", mounts)
    assert not schema.on_network(tmp_path / "a.sqlite", mounts)
    assert not schema.on_network(tmp_path / "a.sqlite", tmp_path / "missing")


def test_where_there_is_no_write_ahead_log_the_ordinary_journal_serves(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(schema, "on_network", lambda path: True)
    run = Run("demo", {})
    run.write_to(tmp_path / "demo.sqlite", trouble.append)
    add(run, 0, 10)
    wait_until(lambda: _steps(tmp_path / "demo.sqlite") == 10)
    assert not list(tmp_path.glob("*-wal"))
    run.close()
    assert trouble == []


# forks


class Forked(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return torch.zeros(8), index % 4


def test_workers_that_are_forked_neither_hang_nor_harm(tmp_path):
    case = classifier()
    loader = torch.utils.data.DataLoader(Forked(), batch_size=8, num_workers=2, multiprocessing_context="fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads
        with nni.watch(
            case.model, case.optimizer, case.loss_fn, train_loader=loader, every=1, run=tmp_path / "a"
        ) as inspector:
            for _ in range(3):
                for x, y in loader:
                    case.optimizer.zero_grad()
                    case.loss_fn(case.model(x), y).backward()
                    case.optimizer.step()
    assert inspector.problems == []
    assert nni.open_run(tmp_path / "a.sqlite").series("loss", "train").total == 6


def test_a_child_goes_on_in_memory_and_leaves_the_file_to_its_parent(run, tmp_path):
    add(run, 0, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            add(run, 10, 1000)
            run.add_finding(nni.Finding("of the child", "ok", ""))
            run.close()
            writer._close_all()
            os._exit(0 if run.path is None and run.series("loss", "train").total == 1000 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    add(run, 10, 20)
    run.close()
    saved = nni.open_run(tmp_path / "demo.sqlite")
    assert saved.series("loss", "train").total == saved.steps == 20
    assert saved.findings == []


def test_a_child_does_not_open_a_file_that_rests(monkeypatch, tmp_path, trouble):
    monkeypatch.setattr(writer, "PERIOD", 0.001)
    run = Run("demo", {})
    run.write_to(tmp_path / "a.sqlite", trouble.append)
    add(run, 0, 10)
    wait_until(lambda: not threads())
    held = run._writer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            writer._close_all()
            os._exit(1 if held._closing else 0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_opened_run_can_be_read_in_a_forked_child(run, tmp_path):
    add(run, 0, 10)
    run.close()
    saved = nni.open_run(tmp_path / "demo.sqlite")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os._exit(0 if saved.series("loss", "train").total == 10 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert saved.series("loss", "train").total == 10


def test_the_thread_holds_no_transaction_open_between_two(run, tmp_path):
    add(run, 0, 10)
    wait_until(lambda: _steps(tmp_path / "demo.sqlite") == 10)
    connection = sqlite3.connect(tmp_path / "demo.sqlite", timeout=5, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
    connection.close()
