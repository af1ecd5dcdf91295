"""The dashboard in a tab of its own, beside the notebook: it follows the training there, and steers it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.lab import PATIENCE, TRAINING

pytestmark = pytest.mark.ui

FIRST = re.compile(r"^0(\.0)?$")


@pytest.fixture
def theme():
    return "dark"


def test_a_dashboard_in_a_tab_of_its_own_moves_with_the_training_and_its_buttons_slider_and_rows_work(
    first_look, in_both_themes
):
    notebook, page = first_look, first_look.page
    training = notebook.find(TRAINING)
    notebook.run_through(training - 1)
    notebook.start(training)
    notebook.wait_for_step(30)

    # It is opened while the cell trains, and its panels move.
    board = notebook.open_output(notebook.find("nni.watch(model, optimizer"))
    expect(page.locator(".nni-dashboard")).to_have_count(2, timeout=PATIENCE)
    curve = board.locator(".nni-chart").first.locator("path.line").first
    expect(board.locator(".nni-chart svg").first).to_be_visible(timeout=PATIENCE)
    numbers = board.get_by_text(re.compile(r"Sequential · "))
    said, drawn = numbers.inner_text(), curve.get_attribute("d")
    expect(numbers).not_to_have_text(said, timeout=PATIENCE)
    expect(curve).not_to_have_attribute("d", drawn, timeout=PATIENCE)
    expect(page.locator(".jp-LinkedOutputView .nni-static")).to_be_hidden()
    in_both_themes("13-own-tab", ".nni-dashboard")

    # Pause in the tab holds the training, and both views say so.
    board.get_by_role("button", name="Pause").click()
    expect(board.get_by_role("button", name="Resume")).to_be_visible(timeout=PATIENCE)
    in_notebook = page.locator(".jp-Notebook .nni-dashboard")
    expect(in_notebook.get_by_role("button", name="Resume")).to_have_count(1)

    # The slider and the rows lead both views while it waits.
    slider, latest = board.get_by_role("slider", name="Step"), board.get_by_role("button", name="Latest")
    slider.focus()
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", FIRST, timeout=PATIENCE)
    expect(in_notebook.locator(".noUi-handle")).to_have_attribute("aria-valuenow", FIRST, timeout=PATIENCE)
    latest.click()
    expect(latest).to_be_disabled(timeout=PATIENCE)
    names = board.locator(".nni-chart .axis .tick text")
    names.filter(has_text="Linear").first.click(force=True)  # the row lies over its name
    layers = board.locator(".nni-layer-picker select")
    expect(layers).to_have_value(re.compile("Linear"), timeout=PATIENCE)
    expect(in_notebook.locator(".nni-layer-picker select")).to_have_value(layers.input_value())
    in_both_themes("13-own-tab-paused")

    # One step, then on, and Stop ends it at the next step.
    said = numbers.inner_text()
    board.get_by_role("button", name="One step").click()
    expect(numbers).not_to_have_text(said, timeout=PATIENCE)
    said = numbers.inner_text()
    board.get_by_role("button", name="Resume").click()
    expect(numbers).not_to_have_text(said, timeout=PATIENCE)
    board.get_by_role("button", name="Stop").click()
    expect(notebook.output(training)).to_contain_text("Training stopped after step", timeout=PATIENCE)
    notebook.activate()
    notebook.wait_until_idle()
    expect(board.get_by_role("button", name="Stop")).to_be_disabled(timeout=PATIENCE)

    # After the cell it goes on to show what is chosen.
    names.filter(has_text="Conv2d").first.click(force=True)
    expect(layers).to_have_value(re.compile("Conv2d"), timeout=PATIENCE)
    notebook.expect_within(".jp-LinkedOutputView .nni-dashboard")
