"""A real JupyterLab or Notebook 7 server, and a notebook open in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import playwright.sync_api
from playwright.sync_api import Locator, Page, expect

EXAMPLES = Path(__file__).parents[2] / "example_notebooks"
SECOND = 1000
PATIENCE = 60 * SECOND
TRAINING = "for epoch in range(5000)"
"""What the cell with the training begins with in copies of the first example."""


@contextlib.contextmanager
def serve(
    root: Path, theme: str = "JupyterLab Light", app: Literal["jupyterlab", "notebook"] = "jupyterlab"
) -> Iterator[str]:
    """Serve a folder; yields the address."""
    for name, content in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},  # so that every cell is in the page
    }.items():
        _set(root, name, content)
    choose_theme(root, theme)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", app, "--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=",
        f"--ServerApp.root_dir={root}", f"--LabApp.user_settings_dir={root / '.settings'}", "--expose-app-in-browser", "--JupyterNotebookApp.expose_app_in_browser=True", "--ServerApp.disable_check_xsrf=True",
        f"--LabApp.workspaces_dir={root / '.workspaces'}",
    ]  # fmt: skip
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path})
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, server, root / "server.log")
            yield address
        finally:
            server.terminate()
            server.wait(20)


def copy_first_look(to: Path) -> None:
    """Copy the first example, with a training that lasts until it is stopped, on a fast machine too."""
    notebook = (EXAMPLES / "01_first_look.ipynb").read_text(encoding="utf-8")
    assert "for epoch in range(150)" in notebook
    to.write_text(notebook.replace("for epoch in range(150)", TRAINING), encoding="utf-8")


def choose_theme(root: Path, theme: str) -> None:
    """Have the pages that are opened from now on in a theme."""
    _set(root, "apputils-extension/themes", {"theme": theme})


def _set(root: Path, name: str, content: object) -> None:
    file = root / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def shut_down_kernels(address: str) -> None:
    """End every session, so that the next test begins with none."""
    with urllib.request.urlopen(f"{address}/api/sessions") as reply:
        sessions = json.load(reply)
    for session in sessions:
        request = urllib.request.Request(f"{address}/api/sessions/{session['id']}", method="DELETE")
        with urllib.request.urlopen(request):
            pass


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/api"):
            return
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


class Notebook:
    """An open notebook, used through the page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    def open(cls, page: Page, address: str, name: str, app: str = "lab") -> Notebook:
        workspace = f"lab/workspaces/{name.removesuffix('.ipynb')}/tree"
        page.goto(f"{address}/{workspace if app == 'lab' else 'notebooks'}/{name}?reset")
        notebook = cls(page)
        page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
        notebook.wait_until_idle()
        return notebook

    def open_output(self, index: int) -> Locator:
        """Show what is below a cell in a tab of its own, below the notebook; returns the dashboard there."""
        self.page.evaluate("index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }", index)
        self.command("notebook:create-output-view")
        board = self.page.locator(".jp-LinkedOutputView .nni-dashboard")
        board.wait_for(timeout=PATIENCE)
        return board

    def activate(self) -> None:
        """Make the notebook the tab that is worked in."""
        script = """() => {
            const { shell } = window.jupyterapp;
            const notebook = [...shell.widgets('main')].find(tab => tab.node.querySelector('.jp-Notebook') !== null);
            shell.activateById(notebook.id);
        }"""
        self.page.evaluate(script)
        self.page.wait_for_function("() => 'sessionContext' in window.jupyterapp.shell.currentWidget", timeout=PATIENCE)

    def in_another_page(self) -> Notebook:
        """The same notebook with the same kernel in another page, also when this one is closed."""
        page = self.page.context.new_page()
        page.goto(self.page.url.replace("/workspaces/", "/workspaces/another-"))
        page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
        return Notebook(page)

    def command(self, name: str, **arguments: object) -> None:
        self.page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, arguments])

    def from_palette(self, label: str) -> None:
        """Choose a command in the palette, as one does with the keyboard."""
        self.command("apputils:activate-command-palette")
        palette = self.page.locator(".lm-CommandPalette")
        palette.locator("input").fill(label)
        expect(palette.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(label, timeout=PATIENCE)
        self.page.keyboard.press("Enter")
        expect(palette).to_be_hidden(timeout=PATIENCE)

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook-viewport > .jp-Cell, .jp-WindowedPanel-viewport > .jp-Cell").nth(index)

    def sources(self) -> list[str]:
        """The sources of all cells, as the document has them."""
        script = "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(c => c.getSource())"
        return self.page.evaluate(script)

    def find(self, text: str) -> int:
        """Index of the first cell that holds a text."""
        return next(index for index, source in enumerate(self.sources()) if text in source)

    def edit(self, index: int, old: str, new: str) -> None:
        """Change what stands in a cell."""
        script = """([index, old, new_]) => {
            const cell = window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[index];
            cell.setSource(cell.getSource().replace(old, new_));
        }"""
        self.page.evaluate(script, [index, old, new])

    def start(self, index: int) -> None:
        """Run a cell and do not wait for it. (What is queued while a cell ends in an error would be dropped.)"""
        self.wait_until_idle()
        self.page.evaluate("index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }", index)
        self.command("notebook:run-cell")

    def run(self, index: int) -> None:
        """Run a cell and wait for its end."""
        self.start(index)
        self.wait_until_run(index)

    def run_through(self, last: int) -> None:
        """Run the code cells up to and with `last`."""
        for index in range(last + 1):
            self.run(index)

    def append(self, source: str) -> int:
        """Put a code cell at the end; returns its index."""
        script = """source => {
            const { sharedModel } = window.jupyterapp.shell.currentWidget.content.model;
            sharedModel.insertCell(sharedModel.cells.length, { cell_type: 'code', source });
            return sharedModel.cells.length - 1;
        }"""
        return self.page.evaluate(script, source)

    def save(self) -> None:
        """Save the notebook and wait until it is saved."""
        self.command("docmanager:save")
        script = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
        self.page.wait_for_function(script, timeout=PATIENCE)

    def reload(self) -> None:
        """Load the page anew, whatever the kernel does."""
        self.page.reload()
        self.page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)

    def restart(self) -> None:
        """Restart the kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.wait_until_idle()

    def wait_until_run(self, index: int) -> None:
        script = """index => {
            const cell = window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[index];
            return cell.cell_type !== 'code' || cell.execution_count !== null;
        }"""
        self.page.wait_for_function(script, arg=index, timeout=3 * PATIENCE)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until no cell runs. (The kernel's status alone may speak of a subshell.)"""
        script = """() => {
            const prompts = [...document.querySelectorAll('.jp-InputPrompt')].map(prompt => prompt.innerText);
            const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
            return kernel?.status === 'idle' && !prompts.some(prompt => prompt.includes('*'));
        }"""
        self.page.wait_for_function(script, timeout=3 * PATIENCE)

    @property
    def busy(self) -> bool:
        """Whether a cell runs. (Before JupyterLab 4.4 the kernel's status says "idle" after each of our requests.)"""
        prompts = "prompts => prompts.some(prompt => prompt.innerText.includes('*'))"
        return self.page.locator(".jp-InputPrompt").evaluate_all(prompts)

    def output(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-Cell-outputWrapper")

    @property
    def dashboard(self) -> Locator:
        return self.page.locator(".nni-dashboard").last

    @property
    def wizard(self) -> Locator:
        return self.page.locator(".nni-wizard").last

    @property
    def panel(self) -> Locator:
        return self.page.locator("#nn-inspector-panel")

    def show_panel(self) -> Locator:
        self.command("nn-inspector:show-panel")
        expect(self.panel).to_be_visible(timeout=PATIENCE)
        return self.panel

    def hide(self, *, hide: bool) -> None:
        """Tell the page that nobody sees it, or that it is seen again. (Chromium without a screen never does.)"""
        script = """hide => {
            Object.defineProperty(document, 'hidden', {configurable: true, get: () => hide});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
        self.page.evaluate(script, hide)

    def theme(self) -> str:
        """The name of the theme that the page has."""
        return self.page.evaluate("() => document.body.dataset.jpThemeName")

    def change_theme(self, name: str) -> None:
        """Give the page a theme, and wait until it is uncovered again and nothing fades from the old one to it."""
        if name != self.theme():
            self.command("apputils:change-theme", theme=name)
        script = """name => document.body.dataset.jpThemeName === name
            && !document.getElementById('jupyterlab-splash')
            && !document.getAnimations().some(fading => fading instanceof CSSTransition)"""
        self.page.wait_for_function(script, arg=name, timeout=PATIENCE)

    def resize(self, width: int = 1500, height: int = 1000) -> None:
        """Make the page so large, with the file browser closed where it would take half of it."""
        self.page.set_viewport_size({"width": width, "height": height})
        if self.page.locator("#jp-left-stack").is_visible() == (width < 1000):
            self.command("application:toggle-left-area")

    def expect_within(self, view: str) -> None:
        """Hold that nothing stands out at the right of a view, once bqplot has drawn itself anew."""
        out = """view => {
            const last = [...document.querySelectorAll(view)].at(-1);
            const { right } = last.getBoundingClientRect();
            return [...last.querySelectorAll(':not(style, g *)')].filter(element =>
                element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().right > right + 1
            ).map(element => element.outerHTML.slice(0, 200));
        }"""
        with contextlib.suppress(playwright.sync_api.TimeoutError):
            self.page.wait_for_function(f"view => ({out})(view).length === 0", arg=view, timeout=PATIENCE)
        wider = self.page.evaluate(out, view)
        assert wider == [], "\n".join(wider)

    def expect_ticks_apart(self, view: str) -> None:
        """Hold that no two texts at the ticks of one axis touch, once bqplot has drawn itself anew."""
        touching = """view => {
            const last = [...document.querySelectorAll(view)].at(-1);
            const axes = [...last.querySelectorAll('.nni-chart g.axis')].map(axis => [...axis.querySelectorAll('.tick text')]
                .filter(text => text.textContent && text.checkVisibility({ visibilityProperty: true }))
                .map(text => [text.textContent, text.getBoundingClientRect()]));
            const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            const pairs = axes.flatMap(texts => texts.flatMap(([one, a], place) =>
                texts.slice(place + 1).filter(([_, b]) => touch(a, b)).map(([other]) => `${one} / ${other}`)));
            return axes.flat().length === 0 ? ['no ticks'] : pairs;
        }"""
        with contextlib.suppress(playwright.sync_api.TimeoutError):
            self.page.wait_for_function(f"view => ({touching})(view).length === 0", arg=view, timeout=PATIENCE)
        pairs = self.page.evaluate(touching, view)
        assert pairs == [], "\n".join(pairs)

    def wait_for_more_cells_than(self, count: int) -> None:
        """Wait until a cell was inserted."""
        script = "n => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.length > n"
        self.page.wait_for_function(script, arg=count, timeout=PATIENCE)

    def wait_for_step(self, step: int) -> None:
        """Wait until the dashboard has so many steps or more."""
        script = "step => Number(/([\\d,]+) steps?/.exec([...document.querySelectorAll('.nni-dashboard')].at(-1).innerText)[1].replace(',', '')) >= step"
        self.page.wait_for_function(script, arg=step, timeout=PATIENCE)

    def step(self) -> int:
        """How many steps the dashboard has."""
        text = self.dashboard.inner_text(timeout=PATIENCE)
        return int(re.search(r"([\d,]+) steps?", text).group(1).replace(",", ""))
