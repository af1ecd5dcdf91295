"""Sources that cannot be read or followed, and how a notebook's cells are read."""

import linecache
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector.checks.loop.reading import Reader, code_of
from nn_inspector.checks.loop.source import _read, _read_loop
from nn_inspector.training import Training
from tests.trainings import blobs, mlp

model = mlp()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
train_loader = DataLoader(blobs(), batch_size=16)


def read(loop):
    return _read_loop(Training(model, optimizer, nn.CrossEntropyLoss(), train_loader=train_loader, loop=loop))


def usual():
    for x, y in train_loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def made_of_text():
    names = {}
    exec("def loop():\n    optimizer.step()", names)
    return names["loop"]


@pytest.mark.parametrize(
    ("loop", "reason"),
    [
        (made_of_text(), "The source of the loop cannot be read."),
        (None, "The source of the loop is not known: pass the function that trains, watch(..., loop=train)."),
    ],
)
def test_what_cannot_be_read_is_said(loop, reason):
    reading = read(loop)
    assert (reading.events, reading.reason) == ((), reason)


def test_a_file_that_changed_since_it_was_imported_is_not_read(tmp_path):
    path = tmp_path / "changing_loop.py"
    path.write_text("def loop():\n    optimizer.step()\n")
    sys.path.insert(0, str(tmp_path))
    try:
        from changing_loop import loop
    finally:
        sys.path.remove(str(tmp_path))
    assert read(loop).place("step") == "line 2: optimizer.step()"
    path.write_text("# new\n\n\ndef loop():\n    optimizer.zero_grad()\n")
    linecache.checkcache(str(path))
    assert read(loop).reason == "The source of the loop cannot be read."


def test_the_reader_gives_up_on_what_never_ends():
    def endless(n):
        return endless(n - 1) if n else endless(n)

    assert read(endless).events == ()


def test_an_error_while_reading_is_a_reason(monkeypatch):
    monkeypatch.setattr(Reader, "statement", lambda self, node: 1 / 0)
    reading = _read(Training(model, optimizer), [(code_of(usual), {})], "")
    assert reading.reason == "The source of the loop could not be followed (ZeroDivisionError: division by zero)."


class Shell:
    def __init__(self, *cells):
        self.user_ns = {"In": ["", *cells]}


def test_in_a_notebook_the_cells_since_watch_are_read(monkeypatch):
    shell = Shell(
        "optimizer.step()",
        "%load_ext nn_inspector\ninspector = nni.watch(model, optimizer)",
        "%%time\nfor x, y in train_loader:\n    %pip list\n    optimizer.zero_grad()\n    model(x)",
        "%%html\n<b>bold</b>",
        "this is no Python",
    )
    monkeypatch.setitem(sys.modules, "IPython", type("I", (), {"get_ipython": staticmethod(lambda: shell)}))
    main = type(sys)("__main__")
    vars(main).update(model=model, optimizer=optimizer, train_loader=train_loader)
    monkeypatch.setitem(sys.modules, "__main__", main)
    reading = read(None)
    assert reading.reason is None
    assert [event.kind for event in reading.events if event.kind != "assign"] == ["zero_grad", "forward"]
    assert reading.place("zero_grad") == "cell 3 line 4: optimizer.zero_grad()"
    assert reading.first("zero_grad").target is optimizer
