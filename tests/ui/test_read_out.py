"""What is read out of the pictures, and the checks below them, which unfold with the keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.lab import PATIENCE, TRAINING

pytestmark = pytest.mark.ui


def test_each_picture_is_named_by_what_it_shows_and_many_checks_are_folded_into_one_line(first_look, in_both_themes):
    notebook, page = first_look, first_look.page
    training = notebook.find(TRAINING)
    notebook.run_through(training - 1)
    notebook.start(training)
    notebook.wait_for_step(30)
    board = notebook.dashboard
    board.evaluate("element => element.scrollIntoView()")

    # Each picture says what it shows, and says something else at the next update.
    pictures = board.locator(".nni-chart .svg-figure[role=img]")
    expect(pictures).to_have_count(4, timeout=PATIENCE)
    loss = board.get_by_role("img", name=re.compile(r"^Loss: loss, train, smoothed: 2\.\d+ at step 0, .* at step \d+"))
    expect(loss).to_be_visible(timeout=PATIENCE)
    expect(
        board.get_by_role("img", name=re.compile(r"^Gradient flow: gradient norm, 4 rows; now: greatest"))
    ).to_be_visible()
    loss.hover()  # bqplot's own buttons come up
    in_both_themes("15-pictures", ".nni-dashboard")
    said = loss.get_attribute("aria-label")
    expect(loss).not_to_have_attribute("aria-label", said, timeout=PATIENCE)
    notes = board.get_by_role("list", name="What the charts show now")
    expect(notes.get_by_role("listitem")).to_have_count(4)

    # The checks of the loss take one line; the others unfold without the kernel.
    checks = board.locator(".nni-checks").first
    more = checks.locator(".nni-checks-more")
    opener, last = more.locator("> summary"), more.locator("summary code").last
    expect(opener).to_have_text(re.compile(r"^and \d+ more$"))
    expect(last).to_be_hidden()
    assert checks.bounding_box()["height"] < 2 * opener.bounding_box()["height"]
    opener.scroll_into_view_if_needed()
    in_both_themes("15-checks-folded")
    opener.focus()
    opener.press("Enter")
    expect(last).to_be_visible()
    last.locator("xpath=..").focus()
    page.keyboard.press("Enter")
    expect(more).to_contain_text("Why it matters.")
    in_both_themes("15-checks-unfolded", ".nni-dashboard")
    assert notebook.busy, "the cell still runs"
    opener.press("Enter")
    expect(last).to_be_hidden()

    # What is said is that of the step that is shown.
    board.get_by_role("button", name="Stop").click()
    expect(notebook.output(training)).to_contain_text("Training stopped after step", timeout=PATIENCE)
    notebook.wait_until_idle()
    slider = board.get_by_role("slider", name="Step")
    slider.focus()
    slider.press("Home")
    expect(pictures.first).to_have_attribute(
        "aria-label", re.compile(r"^Loss: loss, train, smoothed: 2\.\d+ at step 0\b"), timeout=PATIENCE
    )
    expect(board).to_contain_text(re.compile(r"[\d,]+ steps .* shown: step 0 \(0 to [\d,]+\)"))
    in_both_themes("15-first-step", ".nni-dashboard")
