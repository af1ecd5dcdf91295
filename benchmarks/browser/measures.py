"""What is measured, each in a notebook of its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.browser import peers, scenes
from benchmarks.browser.page import Measured, opened

_PAINTED = """() => {
    const shown = [], header = document.querySelector('.nni-dashboard .widget-html-content');
    const look = () => {
        const found = /([\\d,]+) steps?/.exec(header.textContent);
        const step = found === null ? null : Number(found[1].replaceAll(',', ''));
        if (step !== null && step !== shown.at(-1)?.[0]) shown.push([step, Date.now() / 1000]);
        requestAnimationFrame(look);
    };
    window.shownForBenchmark = shown;
    requestAnimationFrame(look);
}"""
"""Notes when the page shows which step."""

_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"

_MOVE = """key => new Promise((done, fail) => {
    const charts = [...document.querySelectorAll('.nni-dashboard .nni-chart')];
    const state = () => charts.map(chart => [...chart.querySelectorAll('path.line')].map(path => path.getAttribute('d')).join()).join();
    const before = state(), start = performance.now();
    const handle = document.querySelector('.nni-dashboard [role=slider]');
    handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    const look = () => {
        if (state() !== before) done(performance.now() - start);
        else if (performance.now() - start > 20000) fail(new Error('the panels did not move'));
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""
"""Moves the slider by a key, and says how many milliseconds later the panels show another state."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the table.

    Attributes:
        name: what it is.
        value: with its unit in `name`.
        wanted: what it should be, in words.
        good: whether it is.
    """

    name: str
    value: float
    wanted: str
    good: bool


def updates(seconds: float) -> list[Figure]:
    """What an update of the default dashboard costs, and how soon a step is seen."""
    run = [scenes.RUN.format(seconds=seconds), scenes.TOLD]
    with opened([scenes.TRAINING, scenes.WATCH, scenes.IDLE.format(seconds=seconds), *run, *run]) as measured:
        notebook = measured.notebook
        notebook.run_through(1)
        notebook.dashboard.locator(".nni-chart svg").first.wait_for()
        idle = _spent(measured, 2)
        live = _spent(measured, 3)
        count = len(measured.told(4))
        measured.page.evaluate(_PAINTED)
        notebook.run(5)
        shown = dict(measured.page.evaluate("() => window.shownForBenchmark"))
        published = measured.told(6)
    milliseconds = 1000 * (live[0] - idle[0]) / count
    messages = (live[1] - idle[1]) / seconds
    delays = [shown[step] - time for step, time in published if step in shown]
    return [
        Figure("updates a second", count / seconds, "about 2", 1.5 < count / seconds < 2.5),
        Figure("main thread for an update, ms", milliseconds, "≤ 50", milliseconds <= 50),
        Figure("messages a second", messages, "≤ 20", messages <= 20),
        Figure(
            "from an update in the kernel to its pixels, ms, median",
            1000 * statistics.median(delays),
            "< 500",
            statistics.median(delays) < 0.5,
        ),
        Figure("from a step to its pixels at most, s", max(delays) + 0.5, "< 1", max(delays) + 0.5 < 1),
    ]


def long(minutes: float) -> list[Figure]:
    """What so many minutes of updates that are seen leave behind."""
    cells = [scenes.UPDATES.format(updates=20), scenes.RUN.format(seconds=60 * minutes), scenes.TOLD]
    with opened([scenes.TRAINING, scenes.WATCH, *cells]) as measured:
        measured.notebook.run_through(2)
        before = measured.heap()
        measured.notebook.start(3)
        measured.wait_unseen(3)
        more = measured.heap() - before
        count = len(measured.told(4))
    return [Figure(f"heap after {count:,} updates in {minutes:g} minutes, MiB more", more, "< 20", more < 20)]


def hidden(count: int) -> list[Figure]:
    """What so many updates of a hidden page leave behind, and how long it takes to be of use again."""
    with opened(
        [scenes.TRAINING, scenes.WATCH, scenes.UPDATES.format(updates=20), scenes.UPDATES.format(updates=count)]
    ) as measured:
        measured.notebook.run_through(2)
        at_the_end, back, after = _unseen(measured, 3)
    return [
        Figure(f"heap after {count:,} updates while hidden, MiB more", at_the_end, "< 20", at_the_end < 20),
        Figure("back in view, s", back, "< 1", back < 1),
        Figure("heap when back, MiB more", after, "< 20", after < 20),
    ]


def opening() -> list[Figure]:
    """How long the dashboard of a deep model takes to open."""
    with opened([scenes.TRAINING, scenes.DEEP, scenes.OPEN]) as measured:
        measured.notebook.run_through(1)
        start = measured.page.evaluate("() => performance.now()")
        measured.notebook.start(2)
        measured.page.wait_for_function(
            "() => { const charts = [...document.querySelectorAll('.nni-dashboard .nni-chart')];"
            "return charts.length >= 4 && charts.every(chart => chart.querySelector('svg path.line[d]') !== null); }"
        )
        seconds = (measured.page.evaluate(_FRAME) - start) / 1000
    return [Figure("dashboard of 201 layers opens, s", seconds, "< 3", seconds < 3)]


def reloading() -> list[Figure]:
    """How long the notebook and the side panel, with its history, take to be back when the page is loaded anew while a cell runs."""
    with opened([scenes.TRAINING, scenes.WATCH, scenes.FOREVER]) as measured:
        notebook = measured.notebook
        notebook.run_through(1)
        curve = notebook.show_panel().locator(".jp-nni-Loss")
        notebook.save()
        notebook.start(2)
        curve.wait_for()
        notebooks, panels = zip(*(_reloaded(measured) for _ in range(3)), strict=True)
    return [
        Figure("from a reload while a cell runs to the notebook, s, at most", max(notebooks), "", good=True),
        Figure("from a reload while a cell runs to the side panel, s, at most", max(panels), "< 5", max(panels) < 5),
    ]


def travel(steps: int) -> list[Figure]:
    """How long a move of the slider takes in a long run."""
    with opened(
        [scenes.TRAINING, scenes.WATCH, "for _ in range(5): step()", scenes.LONG.format(steps=steps)]
    ) as measured:
        measured.notebook.run_through(3)
        moves = [measured.page.evaluate(_MOVE, key) for key in ["PageDown"] * 8 + ["ArrowLeft"] * 4 + ["PageUp"] * 4]
    return [
        Figure(
            f"a move of the slider over {steps:,} steps, ms, median",
            statistics.median(moves),
            "< 200",
            statistics.median(moves) < 200,
        ),
        Figure("the slowest of 16 moves, ms", max(moves), "< 200", max(moves) < 200),
    ]


def beside(peer: str, seconds: float, count: int) -> list[Figure]:
    """The same of another tool, as far as it is the same thing there."""
    runs = [peers.cell(peer, peers.RUN, seconds=length) for length in (5, seconds)]
    updates = [peers.cell(peer, peers.UPDATES, updates=number) for number in (20, count)]
    with opened([scenes.TRAINING, scenes.IDLE.format(seconds=seconds), *runs, scenes.TOLD, *updates]) as measured:
        measured.notebook.run(0)
        idle = _spent(measured, 1)
        measured.notebook.run(2)
        live = _spent(measured, 3)
        shown = len(measured.told(4))
        measured.notebook.run(5)
        at_the_end, back, after = _unseen(measured, 6)
    found = {
        "updates a second": shown / seconds,
        "main thread for an update, ms": 1000 * (live[0] - idle[0]) / shown,
        "messages a second": (live[1] - idle[1]) / seconds,
        f"heap after {count:,} updates while hidden, MiB more": at_the_end,
        "back in view, s": back,
        "heap when back, MiB more": after,
    }
    return [Figure(f"{peer}: {name}", value, "", good=True) for name, value in found.items()]


def _reloaded(measured: Measured) -> tuple[float, float]:
    """Loads the page anew; seconds until JupyterLab shows the notebook, and until the side panel shows the loss."""
    start = time.monotonic()
    measured.notebook.reload()
    notebook = time.monotonic() - start
    measured.page.locator("#nn-inspector-panel .jp-nni-Loss").wait_for()
    return notebook, time.monotonic() - start


def _unseen(measured: Measured, cell: int) -> tuple[float, float, float]:
    """Runs a cell in a hidden page: MiB more at its end, seconds until the page is of use again, MiB more then."""
    before = measured.heap()
    measured.notebook.start(cell)
    measured.hide(hide=True)
    measured.wait_unseen(cell)
    at_the_end = measured.heap()
    start = measured.page.evaluate("() => performance.now()")
    measured.hide(hide=False)
    back = (measured.page.evaluate(_FRAME) - start) / 1000
    return at_the_end - before, back, measured.heap() - before


def _spent(measured: Measured, cell: int) -> tuple[float, int]:
    """Seconds of the main thread and messages while a cell runs."""
    before = measured.busy(), measured.messages
    measured.notebook.run(cell)
    return measured.busy() - before[0], measured.messages - before[1]


MEASURES: Mapping[str, Callable[[Any], list[Figure]]] = {
    "updates": lambda options: updates(options.seconds),
    "long": lambda options: long(options.minutes),
    "hidden": lambda options: hidden(options.updates),
    "opening": lambda _: opening(),
    "reloading": lambda _: reloading(),
    "travel": lambda options: travel(options.steps),
    **{
        peer: lambda options, peer=peer: beside(peer, options.seconds, options.updates)  # type: ignore[misc]
        for peer in peers.PEERS
    },
}

USUAL = ("updates", "hidden", "opening", "reloading", "travel")
"""What is measured if nothing is chosen: ours, in a few minutes."""
