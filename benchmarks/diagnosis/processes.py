"""Each training in a process of its own, a few at a time, with a limit on its time."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from benchmarks.diagnosis.answer import Answer, Watcher, answer, budgets_in_processor_time
from benchmarks.diagnosis.tasks import Task

LIMIT = 300.0
"""Seconds for one training with its diagnosis; both together usually take less than a tenth of it."""


def answers(
    tasks: Sequence[Task], watcher: Watcher, *, jobs: int, limit: float = LIMIT
) -> Iterator[tuple[Task, Answer]]:
    """The answers as they come in, not in the order of the tasks.

    Args:
        jobs: so many processes at a time.
        limit: seconds after which a process is stopped and its task counts as failed.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([__name__])
    waiting, running = list(reversed(tasks)), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(context, waiting.pop(), watcher))
            wait([one.pipe for one in running], timeout=0.5)
            for one in list(running):
                found = one.poll(limit)
                if found is not None:
                    running.remove(one)
                    yield one.task, found
    finally:
        for one in running:
            one.stop()


@dataclass(frozen=True, slots=True)
class _Running:
    task: Task
    process: BaseProcess
    pipe: Connection
    started: float

    def poll(self, limit: float) -> Answer | None:
        """The answer, if there is one by now."""
        if self.pipe.poll():
            try:
                found: Answer = self.pipe.recv()
            except EOFError:
                self.process.join()
                found = Answer(failure=f"its process ended with {self.process.exitcode}")
            self.stop()
            return found
        if time.monotonic() - self.started > limit:
            self.stop()
            return Answer(failure=f"it took longer than {limit:g} s", seconds=limit)
        return None

    def stop(self) -> None:
        self.process.join(timeout=1.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _start(context: multiprocessing.context.BaseContext, task: Task, watcher: Watcher) -> _Running:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_in_child, args=(task, watcher, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Running(task, process, ours, time.monotonic())


def _in_child(task: Task, watcher: Watcher, pipe: Connection) -> None:
    budgets_in_processor_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = answer(task, watcher)
    pipe.send(found)
    pipe.close()
