"""A training whose run cannot be written, or not any longer: it is as it would be, and what was written opens."""

import shutil
import tempfile
import threading
from pathlib import Path

import pytest

import nn_inspector as nni
from nn_inspector.history import Run, writer
from tests.history.children import queue, start, train_on_a_bad_disk
from tests.history.files import wait_until
from tests.trainings import classifier

AT_ONCE, LATER = "It is kept in memory only.", "It goes on in memory."


def _read_only(folder):
    folder.chmod(0o555)


def _without_room_for_a_log(folder):
    for ending in ("-wal", "-journal"):
        (folder / f"demo.sqlite{ending}").mkdir()


def _as_it_is(folder):
    """Nothing stands in the way."""


@pytest.mark.parametrize(
    ("prepare", "full", "said"),
    [
        (_as_it_is, "later", LATER),
        (_as_it_is, "at once", LATER),
        (_read_only, None, AT_ONCE),
        (_without_room_for_a_log, None, LATER),
    ],
    ids=["full after a while", "full", "read-only", "no second file"],
)
def test_the_training_goes_on_and_what_was_written_opens(prepare, full, said):
    with tempfile.TemporaryDirectory() as name:  # not below a folder that is root's alone
        folder = Path(name)
        folder.chmod(0o777)
        prepare(folder)
        path, results = folder / "demo.sqlite", queue()
        child = start(train_on_a_bad_disk, str(path), full, results)
        losses, recorded, warned, problems = results.get(timeout=60)
        child.join()
        folder.chmod(0o777)
        assert losses == classifier().run(len(losses) // 6)
        assert recorded == len(losses)
        assert warned == problems
        assert [text.endswith(said) for text in problems] == [True]
        if full == "later":
            saved = nni.open_run(path)
            assert 0 < saved.series("loss", "train").total < recorded


def test_a_warning_that_is_taken_for_an_error_does_not_end_the_thread_that_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "PERIOD", 0.01)
    said, died = [], []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def report(trouble):
        said.append(trouble)
        raise nni.InspectorWarning(trouble)

    run = Run("demo", {})
    run.write_to(tmp_path / "folder" / "demo.sqlite", report)
    shutil.rmtree(tmp_path / "folder")
    wait_until(lambda: said)
    run.close()
    assert len(said) == 1
    assert died == []
