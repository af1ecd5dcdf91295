"""A run file from a stranger is data: it is refused with a clear message, or shown as text."""

import json
import shutil
import sqlite3
import zlib

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.history.blobs import Tail, pack_tail
from nn_inspector.history.facts import Facts
from nn_inspector.history.finding_html import findings_html
from tests.history.files import numbers, writing


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A file with something in each table, and with values in the tail and in chunks."""
    path = tmp_path_factory.mktemp("sound") / "sound.sqlite"
    with pytest.MonkeyPatch.context() as patch, writing(path, facts := Facts("sound", {"model": "Net"})) as write:
        patch.setattr("nn_inspector.history.entries.TAIL_BYTES", 100)
        facts.steps = 3010
        write(numbers(0, 3000))
        patch.undo()
        write(numbers(3000, 3010))
    return path


@pytest.fixture
def file(sound, tmp_path):
    return shutil.copy(sound, tmp_path / "stranger.sqlite")


def spoil(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
    connection.close()


def ask_everything(path):
    run = nni.open_run(path)
    try:
        for quantity in run.quantities():
            for source in run.sources(quantity):
                run.series(quantity, source)
                run.last(quantity, source)
                list(run._table().everything(quantity, source))
        run.at(5)
        run.at(5000)
        run.epochs("train")
    finally:
        run.close()
    return run


def test_the_sound_file_is_sound(file):
    assert ask_everything(file).series("loss", "train").total == 3010


HUGE = pack_tail(Tail(np.ones(2), np.zeros(2), np.zeros(2)))

SPOILED = {
    "another application": ["PRAGMA application_id = 7"],
    "an older version that never was": ["PRAGMA user_version = 0"],
    "one table more": ["CREATE TABLE more (x)"],
    "one table less": ["DROP TABLE epoch"],
    "a column more": ["ALTER TABLE meta ADD COLUMN more"],
    "a view for a table": ["DROP TABLE epoch", "CREATE VIEW epoch AS SELECT 1 AS loader, 2 AS number, 3 AS value, 4 AS changed"],
    "a trigger": ["CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END"],
    "steps that are text": ["UPDATE meta SET value = '\"many\"' WHERE key = 'steps'"],
    "steps below zero": ["UPDATE meta SET value = '-1' WHERE key = 'steps'"],
    "steps without end": [("UPDATE meta SET value = ? WHERE key = 'steps'", ("9" * 10_000,))],
    "no JSON": ["UPDATE meta SET value = '{' WHERE key = 'parameters'"],
    "JSON without bottom": [("UPDATE meta SET value = ? WHERE key = 'parameters'", ("[" * 200_000,))],
    "bytes for JSON": [("UPDATE meta SET value = ? WHERE key = 'parameters'", (b"\x80\x04.",))],
    "parameters that are a list": ["UPDATE meta SET value = '[]' WHERE key = 'parameters'"],
    "a name that is a number": ["UPDATE meta SET value = '3' WHERE key = 'name'"],
    "a trace of numbers": ["UPDATE meta SET value = '[1]' WHERE key = 'trace'"],
    "findings of another kind": ["UPDATE meta SET value = '[{\"check\": 1}]' WHERE key = 'findings'"],
    "NaN at a place of another kind": ["UPDATE meta SET value = '{\"step\": 1}' WHERE key = 'nonfinite'"],
    "NaN at a place that does not exist": ["UPDATE meta SET value = '{\"step\": 1, \"where\": \"x\", \"source\": \"\", \"before\": [], \"then\": null}' WHERE key = 'nonfinite'"],
    "an epoch of another kind": ["INSERT INTO epoch VALUES ('train', 0, '{}', 1)"],
    "a width that is huge": ["UPDATE series SET width = 2000000000"],
    "a width that is text": ["UPDATE series SET width = 'wide'"],
    "a width below zero": ["UPDATE series SET width = -1"],
    "more values than there are": ["UPDATE series SET folded = 1000000000"],
    "a number of values that is text": ["UPDATE series SET folded = 'all'"],
    "a name that is bytes": [("UPDATE series SET source = ?", (b"x",))],
    "a number for the series that is not next": ["UPDATE series SET id = 99"],
    "a chunk of text": ["UPDATE chunk SET data = 'x'"],
    "a chunk that is empty": [("UPDATE chunk SET data = ?", (b"",))],
    "a chunk of another size": [("UPDATE chunk SET data = ?", (zlib.compress(b"\0" * 80),))],
    "a chunk that grows a thousandfold": [("UPDATE chunk SET data = ?", (zlib.compress(b"\0" * 50_000_000),))],
    "a chunk with more values than a chunk has": ["UPDATE chunk SET count = 100000"],
    "a chunk with numbers of no size": ["UPDATE chunk SET size = 3"],
    "a chunk whose step is text": ["UPDATE chunk SET first_step = 'x'"],
    "chunks that are missing": ["DELETE FROM chunk WHERE number = 1"],
    "a tail of text": ["UPDATE tail SET data = 'x'"],
    "a tail of another size": [("UPDATE tail SET data = ?", (b"123",))],
    "a tail of another width": ["UPDATE tail SET width = 3"],
    "a tail with too many values": ["UPDATE tail SET count = 1000000000"],
    "a tail of a series that is not there": [("UPDATE tail SET count = 2, data = ?", (pack_tail(Tail(np.full(2, 9), np.zeros(2), np.zeros(2))),))],
    "a tail without end": ["WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO tail SELECT i, 0, 1, x'00' FROM n"],
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILED)
def test_a_file_that_lies_is_refused(file, how):
    spoil(file, *SPOILED[how])
    with pytest.raises(nni.RunFileError, match=r"stranger\.sqlite: expected a .*, got .+\. \w.+\.") as refusal:
        ask_everything(file)
    assert len(str(refusal.value)) < 1000


def test_a_newer_file_says_so(file):
    spoil(file, "PRAGMA user_version = 2")
    with pytest.raises(nni.RunFileError, match="one of version 2, from a newer nn_inspector"):
        nni.open_run(file)


@pytest.mark.parametrize("kept", [0, 10, 100, 1024, 4096, 20_000])
def test_a_file_that_is_cut_off_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(nni.RunFileError):
        ask_everything(file)


def test_a_file_with_any_byte_changed_is_refused_or_read(file):
    random, whole = np.random.default_rng(0), file.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 20):
            data[place] = random.integers(256)
        file.write_bytes(data)
        try:
            ask_everything(file)
        except nni.RunFileError:
            continue


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "an empty file"), (b"hello", "something that SQLite refuses"), (b"\x80\x04K\x01." * 500, "something that SQLite refuses")],
)  # fmt: skip
def test_what_is_no_database_is_refused(tmp_path, content, what):
    (tmp_path / "a.sqlite").write_bytes(content)
    with pytest.raises(nni.RunFileError, match=what):
        nni.open_run(tmp_path / "a.sqlite")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "a.sqlite"
    spoil(path, "CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(nni.RunFileError, match="a database of something else"):
        nni.open_run(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folders_and_missing_files_are_said(tmp_path):
    with pytest.raises(nni.RunFileError, match="got a folder"):
        nni.open_run(tmp_path)
    with pytest.raises(nni.RunFileError, match="got no such file"):
        nni.open_run(tmp_path / "a.sqlite")


def test_reading_changes_nothing(file):
    before = file.read_bytes()
    ask_everything(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_key_that_is_not_known_is_left_alone(file):
    spoil(file, "INSERT INTO meta VALUES ('plugin', '[1]', 1)")
    assert ask_everything(file).steps == 3010


SCRIPT = "<script>alert('1')</script>"


def test_text_from_a_file_is_shown_as_text(file):
    finding = {
        "check": SCRIPT, "severity": "error", "message": SCRIPT, "evidence": {SCRIPT: 1.0}, "where": SCRIPT, "sources": [SCRIPT],
        "remedy": {"text": SCRIPT, "code": SCRIPT, "tried": {"without": [1.0], "treated": [1.0], "helped": False}},
    }  # fmt: skip
    spoil(
        file,
        ("UPDATE meta SET value = ? WHERE key = 'findings'", (json.dumps([finding]),)),
        (
            "UPDATE meta SET value = ? WHERE key = 'parameters'",
            (json.dumps({"model": SCRIPT, "modules": {SCRIPT: SCRIPT}}),),
        ),
        ("UPDATE meta SET value = ? WHERE key = 'name'", (json.dumps(SCRIPT),)),
        ("UPDATE series SET source = ?, quantity = 'activation_histogram', width = 0", (SCRIPT,)),
    )
    run = nni.open_run(file)
    assert run.name == SCRIPT
    from nn_inspector.panels.panel import Selection
    from nn_inspector.panels.static_twin import static_html

    spoil(file, "UPDATE series SET quantity = 'gradient_norm'")
    for html in (
        run.findings[0]._repr_html_(),
        findings_html(SCRIPT, run.findings, run.findings, run.findings),
        static_html(nni.open_run(file), Selection(layer=SCRIPT, log_loss=False)),
    ):
        assert "<script" not in html
        assert "&lt;script" in html
