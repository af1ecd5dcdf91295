"""Travelling along the steps of a training while its cell runs, and while it waits."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.ui.lab import PATIENCE, TRAINING

pytestmark = pytest.mark.ui

FIRST = re.compile(r"^0(\.0)?$")


def value(slider: Locator, name: str = "now") -> int:
    """Where a slider stands, or its end: "max"."""
    return int(float(slider.get_attribute(f"aria-value{name}")))


def wait_until_beyond(slider: Locator, step: int) -> None:
    """Wait until a slider stands right of a step."""
    script = "([slider, step]) => Number(slider.ariaValueNow) > step"
    slider.page.wait_for_function(script, arg=[slider.element_handle(), step], timeout=PATIENCE)


def test_the_slider_moves_all_panels_while_a_cell_runs_and_stays_where_it_is_when_the_cell_ends(
    first_look, in_both_themes
):
    notebook, page = first_look, first_look.page
    training = notebook.find(TRAINING)
    notebook.run_through(training - 1)
    notebook.start(training)
    board = notebook.dashboard
    slider, latest = board.get_by_role("slider", name="Step"), board.get_by_role("button", name="Latest")
    notebook.wait_for_step(100)
    expect(latest).to_be_disabled()
    expect(board.get_by_role("button", name="Play")).to_be_enabled()
    board.evaluate("element => element.scrollIntoView()")

    def place(share: float) -> tuple[float, float]:
        box = board.locator(".nni-time-travel .noUi-base").bounding_box()
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    # A click on the track leads to that step, in all panels, and the training goes on.
    page.mouse.click(*place(0.25))
    expect(latest).to_be_enabled(timeout=PATIENCE)
    chosen = value(slider)
    assert 20 <= chosen < value(slider, "max") / 2
    page.wait_for_function(
        """step => {
            const axis = [...document.querySelectorAll('.nni-dashboard')].at(-1).querySelector('.nni-chart .axis');
            return Number([...axis.querySelectorAll('.tick text')].at(-1).textContent.replace(',', '')) <= step;
        }""",
        arg=chosen,
        timeout=PATIENCE,
    )
    notebook.wait_for_step(notebook.step() + 1)
    assert value(slider) == chosen

    # The arrows lead on from where it stands, also those that are pressed before it has moved.
    for _ in range(3):
        slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuenow", re.compile(rf"^{chosen - 3}(\.0)?$"), timeout=PATIENCE)

    # It is dragged, and stays where it was let go.
    half, box = value(slider, "max") // 2, slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*place(0.6), steps=30)
    page.mouse.up()
    wait_until_beyond(slider, half)
    notebook.wait_for_step(notebook.step() + 1)
    in_both_themes("11-travelled-while-training", ".nni-dashboard")

    # The loss is drawn in logarithms meanwhile.
    stood = value(slider)
    curve = board.locator(".nni-chart").first.locator("path.line").first
    linear = curve.get_attribute("d")
    logarithmic = board.get_by_label("logarithmic")
    logarithmic.check()
    expect(curve).not_to_have_attribute("d", linear, timeout=PATIENCE)
    assert value(slider) == stood
    expect(logarithmic).to_be_checked()

    # Latest follows the training again.
    latest.click()
    expect(latest).to_be_disabled(timeout=PATIENCE)
    followed = value(slider)
    assert followed > stood
    wait_until_beyond(slider, followed)
    assert notebook.busy, "the cell still runs"

    # A number is typed beside it, while updates put another one there.
    number = board.locator(".nni-time-travel .widget-readout")
    number.click()
    page.keyboard.type("30", delay=700)
    expect(number).to_have_text("30")
    page.keyboard.press("Enter")
    expect(slider).to_have_attribute("aria-valuenow", re.compile(r"^30(\.0)?$"), timeout=PATIENCE)

    # The axis ends where what is shown ends, not where the latest step is.
    last = "axis => [...axis.querySelectorAll('.tick')].at(-1).getBoundingClientRect().left - axis.getBoundingClientRect().left"
    axis = board.locator(".nni-chart").first.locator(".axis").first
    expect(axis.locator(".tick text").last).to_have_text("30", timeout=PATIENCE)
    page.wait_for_function(
        f"axis => ({last})(axis) > 0.8 * axis.getBoundingClientRect().width",
        arg=axis.element_handle(),
        timeout=PATIENCE,
    )

    # It is played on from there, and stays where playing ends.
    board.get_by_role("button", name="Play").click()
    stop_playing = board.get_by_role("button", name="Stop playing")
    expect(stop_playing).to_be_visible(timeout=PATIENCE)
    wait_until_beyond(slider, 31)
    stop_playing.click()
    expect(stop_playing).not_to_be_visible(timeout=PATIENCE)
    stood = value(slider)
    notebook.wait_for_step(notebook.step() + 1)
    assert value(slider) == stood < value(slider, "max")
    in_both_themes("12-played-while-training")
    assert notebook.busy, "the cell still runs"

    # So it does while the training waits.
    board.get_by_role("button", name="Pause").click()
    expect(board.get_by_role("button", name="Resume")).to_be_visible(timeout=PATIENCE)
    slider.focus()
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", FIRST, timeout=PATIENCE)
    expect(latest).to_be_enabled(timeout=PATIENCE)

    # Nothing that was done meanwhile is done once more when the cell has ended.
    board.get_by_role("button", name="Stop").click()
    expect(notebook.output(training)).to_contain_text("Training stopped after step", timeout=PATIENCE)
    notebook.wait_until_idle()
    expect(board.get_by_role("button", name="Play")).to_be_enabled(timeout=PATIENCE)
    expect(slider).to_have_attribute("aria-valuenow", FIRST)
    expect(logarithmic).to_be_checked()
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", re.compile(r"^1(\.0)?$"))
