"""docs/panels.md has every panel as its code describes it, with a small picture of it."""

from pathlib import Path

import pytest

from nn_inspector.panels.choice import PANELS
from tests.ui.pictures import FOLDER, IN_DARK, PAGE, picture_of, text

README = Path(__file__).parents[2] / "README.md"
AGAIN = "run python -m tests.ui.pictures"
SMALL = 60 * 1024


def test_the_page_says_what_the_panels_say():
    assert PAGE.read_text(encoding="utf-8") == text(), AGAIN


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_has_its_pictures_and_one_line_on_what_it_shows(panel):
    assert (panel.picture.__doc__ or "").split("\n")[0].endswith(".")
    pictures = [picture_of(panel)] + ([picture_of(panel, "dark")] if panel.name in IN_DARK else [])
    for picture in pictures:
        assert picture.exists(), AGAIN
        assert picture.stat().st_size <= SMALL


def test_no_picture_is_left_over():
    known = {picture_of(panel, theme) for panel in PANELS for theme in ("light", "dark")}
    assert set(FOLDER.iterdir()) <= known


def test_the_readme_counts_the_panels():
    assert f"choose among the {len(PANELS)} of them" in README.read_text(encoding="utf-8")
