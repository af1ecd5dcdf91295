"""A notebook in a real JupyterLab, and what Chromium says about its page."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.ui.conftest import FLAGS
from tests.ui.lab import Notebook, serve

_HIDE = """
(() => {
    const frame = window.requestAnimationFrame.bind(window);
    let hidden = false, waiting = [];
    window.requestAnimationFrame = call => hidden ? waiting.push(call) : frame(call);
    Object.defineProperty(document, 'hidden', {get: () => hidden});
    Object.defineProperty(document, 'visibilityState', {get: () => hidden ? 'hidden' : 'visible'});
    window.hideForBenchmark = hide => {
        hidden = hide;
        document.dispatchEvent(new Event('visibilitychange'));
        if (!hide) {
            for (const call of waiting.splice(0)) frame(call);
        }
    };
})();
"""
"""Chromium without a screen never hides a page. What hiding does to panels is done here: no animation frame is given
until the page is shown again, and the page is told."""


class Measured:
    """An open notebook with Chromium's accounts.

    Attributes:
        notebook: to run cells.
        page: of the notebook.
        messages: how many websocket messages have come in.
    """

    def __init__(self, page: Page, address: str, name: str) -> None:
        self.messages = 0
        self.page = page
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))
        page.add_init_script(_HIDE)
        self._accounts: CDPSession = page.context.new_cdp_session(page)
        self._accounts.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.notebook = Notebook.open(page, address, name)

    def _count(self, _: Any) -> None:
        self.messages += 1

    def busy(self) -> float:
        """Seconds of a processor that the page's main thread has used so far; what else the machine does is not in it."""
        return self._metric("TaskDuration")

    def heap(self) -> float:
        """MiB in use on the page's heap, once what is not needed was collected."""
        for _ in range(2):
            self._accounts.send("HeapProfiler.collectGarbage")
        return self._metric("JSHeapUsedSize") / 2**20

    def hide(self, hide: bool) -> None:
        """As a hidden tab is: no animation frames."""
        self.page.evaluate("hide => window.hideForBenchmark(hide)", hide)

    def wait_unseen(self, cell: int) -> None:
        """Wait until a cell was run, without any animation frame."""
        script = "cell => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[cell].execution_count"
        while self.page.evaluate(script, cell) is None:
            self.page.wait_for_timeout(500)

    def told(self, cell: int) -> Any:
        """What a cell has printed as JSON."""
        self.notebook.run(cell)
        return json.loads(self.notebook.output(cell).inner_text())

    def _metric(self, name: str) -> float:
        metrics = self._accounts.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == name))


@contextlib.contextmanager
def opened(cells: Sequence[str]) -> Iterator[Measured]:
    """A notebook with these cells, open in a JupyterLab of its own."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        (root / "measured.ipynb").write_text(json.dumps(_document(cells)), encoding="utf-8")
        chromium = shutil.which("chromium")
        assert chromium is not None, "run tests/ui/install_chromium.sh first"
        with serve(root) as address:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            try:
                page = browser.new_page(viewport={"width": 1500, "height": 1000})
                yield Measured(page, address, "measured.ipynb")
            finally:
                browser.close()


def _document(cells: Sequence[str]) -> dict[str, Any]:
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    made = [
        {
            "cell_type": "code",
            "id": f"cell{place}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": cell.strip(),
        }
        for place, cell in enumerate(cells)
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": made}
