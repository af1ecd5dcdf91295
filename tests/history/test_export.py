import csv
import sys

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.history import Run
from nn_inspector.probes import Measurement
from tests.history.files import long_file, numbers, writing

NAN = float("nan")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_file_exports_every_value(tmp_path):
    run = long_file(tmp_path / "a.sqlite", 40_000)
    run.to_csv(tmp_path / "a.csv")
    header, *rows = rows_of(tmp_path / "a.csv")
    assert header == ["step", "quantity", "source", "value", "low", "high", "count"]
    assert [float(row[3]) for row in rows] == list(map(float, range(40_000)))
    assert rows[7] == ["7", "loss", "train", "7.0", "7.0", "7.0", "1"]


def test_memory_exports_what_it_has(tmp_path):
    run = Run("a", {})
    run.record(numbers(0, 40_000))
    run.to_csv(tmp_path / "a.csv")
    rows = rows_of(tmp_path / "a.csv")[1:]
    assert sum(int(row[6]) for row in rows) == 40_000
    assert max(float(row[5]) for row in rows) == 39_999.0


def test_vectors_special_values_and_names_that_look_like_formulas(tmp_path):
    run = Run("a", {})
    run.record(
        [
            Measurement(0, "histogram", "a,b", np.array([1.0, NAN, 2.5])),
            Measurement(1, "=cmd()", "@x", float("inf")),
            Measurement(2, "=cmd()", "@x", NAN),
        ]
    )
    run.to_csv(tmp_path / "a.csv")
    vector, infinite, nan = rows_of(tmp_path / "a.csv")[1:]
    assert vector[:4] == ["0", "histogram", "a,b", "1.0 nan 2.5"]
    assert infinite[1:4] == ["'=cmd()", "'@x", "inf"]
    assert nan[3] == "nan"


def test_tensorboard_reads_what_was_exported(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with writing(tmp_path / "a.sqlite") as write:
        write(numbers(0, 300))
        write([Measurement(0, "histogram", "layer", np.zeros(3))])
    nni.open_run(tmp_path / "a.sqlite").to_tensorboard(tmp_path / "events")
    events = EventAccumulator(str(tmp_path / "events"), {"scalars": 0}).Reload()
    assert events.Tags()["scalars"] == ["loss/train"]
    assert [(event.step, event.value) for event in events.Scalars("loss/train")] == [(i, float(i)) for i in range(300)]


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(nni.InspectorError, match=r'pip install "nn_inspector\[tensorboard\]"'):
        Run("a", {}).to_tensorboard(tmp_path / "events")
    assert list(tmp_path.iterdir()) == []
