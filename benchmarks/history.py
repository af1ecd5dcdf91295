"""How fast a long run opens, and what recording it costs: `python -m benchmarks.history`.

Writes runs of 10,000 and 1,000,000 steps of 50 series to a temporary folder and prints, as Markdown, the seconds that opening,
one series, time travel over all series and an update while following take; the bytes a value takes on disk; and by how much
the resident memory of a process grows from step 1,000 to step 100,000 of a run with a file.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nn_inspector.history import Run, open_run
from nn_inspector.history.entries import Entries
from nn_inspector.history.facts import Facts
from nn_inspector.history.schema import close_written, open_to_write
from nn_inspector.history.staging import Staging
from nn_inspector.probes import Measurement

SERIES = 50
LENGTHS = (10_000, 1_000_000)
_BATCH = 500


def main() -> None:
    if sys.argv[1:] == ["memory"]:
        print(f"{_growth():.1f}")
        return
    print(
        "| steps | MiB | bytes a value | open | one series | all series | at a step | update |\n|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for steps in LENGTHS:
            print(_row(Path(folder) / f"{steps}.sqlite", steps), flush=True)
    grown = subprocess.run(
        [sys.executable, "-m", "benchmarks.history", "memory"], capture_output=True, text=True, check=True
    )
    print(f"\nResident memory from step 1,000 to step 100,000 of {SERIES} series: {grown.stdout.strip()} MiB more.")


def _row(path: Path, steps: int) -> str:
    path.touch()
    facts, connection = Facts(path.stem, {}), open_to_write(path)
    staging = Staging()
    entries = Entries(facts, staging)
    for start in range(0, steps, _BATCH):
        facts.steps = start + _BATCH
        staging.put(_measurements(start, start + _BATCH))
        entries.write(connection)
    close_written(connection)
    size = path.stat().st_size
    run = open_run(path, follow=True)
    names = [(quantity, source) for quantity in run.quantities() for source in run.sources(quantity)]
    places = iter(np.linspace(0, steps, 50, dtype=int).tolist())
    cells = [
        _milliseconds(lambda: open_run(path).close(), 20),
        _milliseconds(lambda: run.series(*names[0]), 20),
        _milliseconds(lambda: [run.series(*name) for name in names], 5),
        _milliseconds(lambda: run.at(next(places)), 20),
        _milliseconds(_updates(path, entries, staging, facts, run), 20),
    ]
    return " | ".join(["", f"{steps:,}", f"{size / 2**20:.0f}", f"{size / steps / SERIES:.1f}", *cells, ""]).strip()


def _updates(path: Path, entries: Entries, staging: Staging, facts: Facts, run: Run) -> Callable[[], object]:
    """Ten more steps are written; a follower looks again at its steps and at a series."""
    connection = open_to_write(path)

    def update() -> None:
        facts.steps += 10
        staging.put(_measurements(facts.steps - 10, facts.steps))
        entries.write(connection)
        assert run.steps == facts.steps
        run.series("norm", "layer 0")

    return update


def _measurements(start: int, stop: int) -> list[Measurement]:
    values = np.random.default_rng(start).normal(size=(stop - start, SERIES)).astype(np.float32).tolist()
    return [
        Measurement(start + index, "norm", f"layer {number}", value)
        for index, row in enumerate(values)
        for number, value in enumerate(row)
    ]


def _milliseconds(question: Callable[[], object], times: int) -> str:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        question()
        taken.append(time.perf_counter() - begin)
    return f"{1000 * statistics.median(taken):.1f} ms"


def _growth() -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = Run("memory", {})
        run.write_to(Path(folder) / "memory.sqlite", print)
        resident = 0.0
        for step in range(100_000):
            run.record(_measurements(step, step + 1))
            run.steps = step + 1
            time.sleep(0.0005)  # a step of a training, in which the writer's thread can work
            if step == 1_000:
                resident = _resident()
        run.close()
        return _resident() - resident


def _resident() -> float:
    """MiB of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    main()
