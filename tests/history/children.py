"""Processes that train and write a run, for tests that kill, follow or fork them."""

import multiprocessing
import os
import resource
import time
import warnings
from pathlib import Path

import torch

import nn_inspector as nni
from tests.history.files import wait_until
from tests.trainings import classifier

NOBODY = 65534

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.history.children"])


def start(function, *args):
    """Run a function of this module in a process of its own, which begins in milliseconds."""
    process = _context.Process(target=function, args=args, daemon=True)
    process.start()
    return process


def queue():
    return _context.Queue()


def event():
    return _context.Event()


def train_until_killed(path, log):
    """Train for ever; after each step write the time and the loss to `log`."""
    torch.set_num_threads(1)
    case = classifier()
    with (
        Path(log).open("ab", buffering=0) as file,  # what is written survives the process
        nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1, run=path),
    ):
        while True:
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                loss = case.loss_fn(case.model(x), y)
                loss.backward()
                case.optimizer.step()
                file.write(f"{time.monotonic()!r} {loss.item()!r}\n".encode())


def train_until_told(path, stop):
    """Train until the event is set, then detach."""
    torch.set_num_threads(1)
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1, run=path):
        while not stop.is_set():
            case.run(1)


def train_and_leave(path, every=1):
    """Train a little and end the process without detaching; what is at exit must write the rest."""
    torch.set_num_threads(1)
    case = classifier()
    inspector = nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=every, run=path
    )
    case.run(3)
    import atexit

    assert inspector.is_attached
    atexit._run_exitfuncs()  # multiprocessing leaves with os._exit
    os._exit(0)


def train_on_a_bad_disk(path, full, results):
    """Train until the trouble is noticed and a little longer, as one who is not root, on a disk that is full: "at once", "later" or None."""
    torch.set_num_threads(1)
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1, probes="full", run=f"{path}.first"):
        case.run(1)  # what is imported late may lie where root alone can read
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if full == "at once":
        _let_no_file_grow_beyond(0)
    case, losses = classifier(), []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        inspector = nni.watch(
            case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1, probes="full", run=path
        )
        if full == "later":
            losses += case.run(1)
            wait_until(lambda: _holds_steps(path))
            _let_no_file_grow_beyond(max(Path(name).stat().st_size for name in (path, f"{path}-wal")))
        while not inspector.problems:
            losses += case.run(1)
        losses += case.run(2)
        inspector.detach()
    texts = [str(warning.message) for warning in said if warning.category is nni.InspectorWarning]
    results.put((losses, inspector.run.series("loss", "train").total, texts, inspector.problems))


def _holds_steps(path):
    try:
        return nni.open_run(path).steps > 0
    except nni.InspectorError:
        return False


def _let_no_file_grow_beyond(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hold_lock(path, locked, release):
    """Hold an exclusive lock on a database until told."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    locked.set()
    release.wait()
    connection.execute("ROLLBACK")
    connection.close()
