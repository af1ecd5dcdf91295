from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.ui.access import OF_COLOURS, expect_accessible
from tests.ui.lab import Notebook, choose_theme, copy_first_look, serve, shut_down_kernels

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
    "widget model not found",  # likewise, once a notebook that is opened again has a new kernel
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


@pytest.fixture
def theme() -> str:
    """In which a story begins; a module of stories that begin in the dark has a fixture of its own."""
    return "light"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address of its server; a start takes a quarter of a minute, so one has to do for all stories."""
    folder = tmp_path_factory.mktemp("served")
    with serve(folder) as address:
        yield folder, address


@pytest.fixture
def root(server: tuple[Path, str], theme: str) -> Path:
    """The folder that the server serves, in which pages open in the theme of the story."""
    choose_theme(server[0], THEMES[theme])
    return server[0]


@pytest.fixture
def address(server: tuple[Path, str]) -> str:
    """Of the server."""
    return server[1]


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
    copy_first_look(root / name)
    yield Notebook.open(quiet_page, address, name)
    shut_down_kernels(address)


@pytest.fixture
def in_both_themes(quiet_page: Page) -> Callable[..., None]:
    """Looks at the page as it stands in the theme it has, then in the other one, which stays.

    Of each it keeps a screenshot in build/screenshots, for people to look at, and holds that axe-core has nothing to say against the views
    that are named: of the second, nothing that depends on colours.
    """
    folder = Path("build") / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def look(name: str, *views: str) -> None:
        notebook = Notebook(quiet_page)
        present = notebook.theme()
        for theme in sorted(THEMES, key=lambda theme: THEMES[theme] != present):
            notebook.change_theme(THEMES[theme])
            quiet_page.screenshot(path=folder / f"{name}-{theme}.png")
            if views:
                expect_accessible(quiet_page, *views, rules=None if THEMES[theme] == present else OF_COLOURS)

    return look
