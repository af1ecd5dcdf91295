from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.ui.lab import EXAMPLES, Notebook, serve, shut_down_kernels

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

KNOWN_ERRORS = (
    "Failed to load resource",  # translations and the like that JupyterLab asks for and does not need
    "Comm not found",  # ipywidgets after a reload
    "reading 'schema'",  # Notebook 7 itself
    "filebrowser:open-path",  # likewise
)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "run tests/ui/install_chromium.sh first"
    return {**browser_type_launch_args, "executable_path": chromium, "args": FLAGS}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 1500, "height": 1000}}


@pytest.fixture(scope="module", params=THEMES)
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[Path, str]]]:
    """A folder and the address of its server for each theme; a start takes a quarter of a minute, so one has to do."""
    started: dict[str, tuple[Path, str]] = {}
    with contextlib.ExitStack() as stack:

        def server(theme: str) -> tuple[Path, str]:
            if theme not in started:
                folder = tmp_path_factory.mktemp(theme)
                started[theme] = folder, stack.enter_context(serve(folder, THEMES[theme]))
            return started[theme]

        yield server


@pytest.fixture(scope="module")
def root(servers: Callable[[str], tuple[Path, str]], theme: str) -> Path:
    """The folder that the server serves."""
    return servers(theme)[0]


@pytest.fixture(scope="module")
def address(servers: Callable[[str], tuple[Path, str]], theme: str) -> str:
    """Of the server."""
    return servers(theme)[1]


@pytest.fixture
def quiet_page(page: Page) -> Iterator[Page]:
    """A page on which our code logs no error."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert [error for error in errors if not any(known in error for known in KNOWN_ERRORS)] == []


@pytest.fixture
def first_look(quiet_page: Page, root: Path, address: str, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """The first example notebook, a copy for this test with a kernel of its own, open in the page."""
    name = f"{request.node.originalname}.ipynb"
    shutil.copy(EXAMPLES / "01_first_look.ipynb", root / name)
    yield Notebook.open(quiet_page, address, name)
    shut_down_kernels(address)


@pytest.fixture
def picture(quiet_page: Page, theme: str, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a screenshot in build/screenshots, for people to look at."""
    folder = Path("build") / "screenshots"

    def take(name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        quiet_page.screenshot(path=folder / f"{name}-{theme}.png")

    return take
