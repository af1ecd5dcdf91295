"""Watched and unwatched training in turn, in short blocks of steps, so that a busy machine slows both alike."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.overhead.loop import Loop
from benchmarks.overhead.problems import Problem
from benchmarks.overhead.variant import Variant
from nn_inspector.probes import DENSE_STEPS

WARM_UP = 5
"""Unwatched steps of both copies before the watcher comes: memory is found, kernels are chosen, Adam has its state."""

BLOCK = 0.4
"""Seconds that a block should last at least; the geometric mean of a watched and an unwatched one."""

FEWEST_PAIRS = 3
"""Also with blocks that are long because of a long period."""

_CPU = torch.device("cpu")

_LONG_BLOCK = 4.0
"""Seconds. A watcher whose watched blocks last longer gets fewer pairs in proportion."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a watcher costs on a problem.

    Attributes:
        problem, variant: their names.
        parameters: of the network.
        ratios: seconds of a watched block over seconds of the unwatched block beside it.
        block: steps in a block.
        step_seconds: of an unwatched step, the median over all blocks.
        attach_seconds: what it took to attach.
        first_seconds: what the first `DENSE_STEPS` watched steps took longer than as many unwatched ones.
        measured_share: share of the steps in the blocks that were measured in full, where the watcher decides that.
        quantities: what it stored, see `Session.quantities`.
    """

    problem: str
    variant: str
    parameters: int
    ratios: tuple[float, ...]
    block: int
    step_seconds: float
    attach_seconds: float
    first_seconds: float
    measured_share: float | None
    quantities: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the ratios."""
        if len(self.ratios) == 1:
            return self.ratios[0], self.ratios[0]
        first, _, third = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return first, third


def measure(problem: Problem, variant: Variant, *, pairs: int, device: torch.device = _CPU) -> Measured:
    """Measure one watcher on one problem.

    Args:
        pairs: so many pairs of blocks, one watched and one not; fewer where a block is long.
        device: where both train.
    """
    if variant.package is not None:
        import_module(variant.package.replace("-", "_"))
    with _scratch_folder() as folder, _older_objects_left_alone(), contextlib.ExitStack() as stack:
        plain, watched = Loop(problem, device), Loop(problem, device)
        plain.run(WARM_UP)
        watched.run(WARM_UP)
        start = time.perf_counter()
        session = stack.enter_context(variant.attach(watched, folder))
        attach_seconds = time.perf_counter() - start
        watched.after_step = session.after_step
        plain_first = plain.run(DENSE_STEPS)
        watched_first = watched.run(DENSE_STEPS)
        block = _block(variant, math.sqrt(plain_first * watched_first) / DENSE_STEPS)
        count = _pairs(pairs, block * watched_first / DENSE_STEPS)
        measured_before = session.measured() if session.measured else 0
        seconds = [_pair(plain, watched, block, watched_first=bool(index % 2)) for index in range(count)]
        measured = session.measured() - measured_before if session.measured else None
        quantities = tuple(session.quantities())
    return Measured(
        problem=problem.name,
        variant=variant.name,
        parameters=plain.parameters,
        ratios=tuple(with_it / without for without, with_it in seconds),
        block=block,
        step_seconds=statistics.median(without for without, _ in seconds) / block,
        attach_seconds=attach_seconds,
        first_seconds=watched_first - plain_first,
        measured_share=None if measured is None else measured / (block * len(seconds)),
        quantities=quantities,
    )


def _pair(plain: Loop, watched: Loop, block: int, *, watched_first: bool) -> tuple[float, float]:
    """Seconds of an unwatched and of a watched block, one right after the other."""
    if watched_first:
        with_it = watched.run(block)
        return plain.run(block), with_it
    without = plain.run(block)
    return without, watched.run(block)


def _block(variant: Variant, step_seconds: float) -> int:
    """Steps in a block: whole periods, and long enough for the clock and for the watcher."""
    steps = max(variant.shortest_block, BLOCK / step_seconds)
    return math.ceil(steps / variant.period) * variant.period


def _pairs(wanted: int, block_seconds: float) -> int:
    affordable = math.ceil(wanted * min(1.0, _LONG_BLOCK / block_seconds))
    return min(wanted, max(FEWEST_PAIRS, affordable))


@contextlib.contextmanager
def _older_objects_left_alone() -> Iterator[None]:
    """The collection before each block looks only at what the two trainings made."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """An empty folder that is also the working directory: what a watcher writes by default is gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, contextlib.ExitStack() as stack:
        before = Path.cwd()
        stack.callback(os.chdir, before)
        os.chdir(name)
        yield Path(name)
