import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nn_inspector.history import Run, entries, open_run, reader
from nn_inspector.history.blobs import unpack_tail as original
from nn_inspector.history.facts import Facts
from nn_inspector.history.memory import HEAD, RECENT
from nn_inspector.probes import Measurement
from tests.history.files import assert_same_array, long_file, numbers, writing

SPECIAL = [float("nan"), float("inf"), float("-inf"), 0.1, -0.0]
QUICK = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def recordings(draw):
    """Batches of measurements of a few series, numbers and vectors, with steps that repeat or jump."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = draw(st.lists(st.sampled_from([0, 0, 1, 3, 129]), min_size=1, max_size=4))
    batches, steps = [], np.zeros(len(widths), dtype=np.int64)
    for length in draw(st.lists(st.integers(0, 700), max_size=6)):
        batch = []
        for _ in range(length):
            which = int(random.integers(len(widths)))
            steps[which] += random.choice([0, 1, 1, 1, 50])
            value = np.float32(random.normal()) if random.random() < 0.9 else random.choice(SPECIAL)
            value = np.full(widths[which], value) * np.arange(widths[which]) if widths[which] else float(value)
            batch.append(Measurement(int(steps[which]), f"q{which % 2}", f"s{which}", value))
        batches.append(batch)
    return batches


@given(recordings(), st.integers(200, 40_000))
@QUICK
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_file_says_what_memory_says(batches, tail_bytes):
    memory, exact = Run("both", {}), {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "TAIL_BYTES", tail_bytes)
        path = Path(folder) / "a.sqlite"
        with writing(path) as write:
            followed = None
            for batch in batches:
                write(batch)
                memory.record(batch)
                for measured in batch:
                    exact.setdefault((measured.quantity, measured.source), []).append(measured)
                followed = followed or open_run(path, follow=True)
                assert followed.quantities() == memory.quantities()
                for key in exact:
                    assert followed.series(*key).total == memory.series(*key).total
            if followed is not None:
                followed.close()
        saved = open_run(path)
        assert saved.quantities() == memory.quantities()
        for quantity in memory.quantities():
            assert saved.sources(quantity) == memory.sources(quantity)
        for key, measured in exact.items():
            _assert_same_series(saved.series(*key), memory.series(*key))
            assert_same_array(saved.last_vector(*key), memory.last_vector(*key))
            parts = list(saved._table().everything(*key))
            assert_same_array(np.concatenate([part.values for part in parts]), [m.value for m in measured])
        latest = max((m.step for series in exact.values() for m in series), default=0)
        for step in {-1, 0, 7, latest // 2, latest, latest + 9}:
            known = {key: [m.value for m in series if m.step <= step] for key, series in exact.items()}
            found = saved.at(step)
            assert found.keys() == {key for key, values in known.items() if values}
            for key, value in found.items():
                assert_same_array(value, known[key][-1])
        saved.close()


def _assert_same_series(saved, memory):
    assert saved.total == memory.total
    ends = [slice(None, HEAD), slice(-RECENT, None)] if memory.values.ndim == 1 else [slice(None, 8), slice(-64, None)]
    for end in ends:
        assert_same_array(saved.values[end], memory.values[end])
        assert_same_array(saved.steps[end], memory.steps[end])
    assert_same_array(np.fmin.reduce(saved.low), np.fmin.reduce(memory.low))
    assert_same_array(np.fmax.reduce(saved.high), np.fmax.reduce(memory.high))
    assert np.isfinite(saved.values).all() == np.isfinite(memory.values).all()
    if memory.values.ndim == 1 and np.isfinite(memory.values).all():
        assert saved.mean == pytest.approx(memory.mean, rel=1e-9, abs=1e-12)


ONE_CHUNK = {"chunks": 1, "values": 512, "statements": 1}
"""What is folded and what is still in the tail differs with the length."""


def work_of(run, monkeypatch):
    """How many chunks are unpacked, values read and statements made by each question."""
    counted = {"chunks": 0, "values": 0, "statements": 0}

    def unpack(data, **row):
        counted["chunks"] += 1
        counted["values"] += row["count"]
        return original(data, **row)

    def count(statement):
        counted["statements"] += 1

    original = reader.unpack_chunk
    work = {}
    with monkeypatch.context() as patch:
        patch.setattr(reader, "unpack_chunk", unpack)
        run._reader._file._connection.set_trace_callback(count)
        for name, question in {
            "series": lambda: run.series("loss", "train"),
            "last": lambda: run.last("loss", "train"),
            "at": lambda: run.at(run.steps // 3),
            "facts": run._reader.facts,
        }.items():
            counted.update(chunks=0, values=0, statements=0)
            question()
            work[name] = dict(counted)
    return work


def test_a_million_steps_cost_as_much_as_ten_thousand(tmp_path, monkeypatch):
    short = work_of(long_file(tmp_path / "short.sqlite", 10_000), monkeypatch)
    long = long_file(tmp_path / "long.sqlite", 1_000_000)
    work = work_of(long, monkeypatch)
    for question in ("last", "at", "facts"):
        assert all(work[question][what] <= short[question][what] + more for what, more in ONE_CHUNK.items())
    assert work["series"]["chunks"] <= short["series"]["chunks"] + 20
    assert work["series"]["values"] <= 16_000
    assert long.at(333_333) == {("loss", "train"): 333_333.0}
    series = long.series("loss", "train")
    assert series.total == 1_000_000
    assert series.mean == pytest.approx(499_999.5)
    assert len(series) < 9000


def test_a_follower_reads_only_what_is_new(tmp_path, monkeypatch):
    facts = Facts("a", {"model": "Net"})
    with writing(tmp_path / "a.sqlite", facts) as write:
        write(numbers(0, 3000))
        run = open_run(tmp_path / "a.sqlite", follow=True)
        assert run.series("loss", "train").total == 3000
        read = []
        monkeypatch.setattr("nn_inspector.history.tail.unpack_tail", lambda *row: read.append(row) or original(*row))
        facts.steps = 3010
        write(numbers(3000, 3010))
        assert run.steps == 3010
        assert run.last("loss", "train") == 3009.0
        assert [count for _, count, _ in read] == [10]
        run.close()


def test_without_follow_facts_are_those_at_opening(tmp_path):
    facts = Facts("a", {})
    with writing(tmp_path / "a.sqlite", facts) as write:
        facts.steps = 1
        write(numbers(0, 1))
        run = open_run(tmp_path / "a.sqlite")
        facts.steps = 2
        write(numbers(1, 2))
        assert run.steps == 1
        run.close()


def test_nothing_can_be_recorded_into_an_opened_run(tmp_path):
    run = long_file(tmp_path / "a.sqlite", 10)
    with pytest.raises(Exception, match="nothing can be recorded into it"):
        run.record([])
