"""What is done to a training while its cell runs: pause, single steps, another rate, a page that is hidden or loaded anew."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.lab import PATIENCE, TRAINING

pytestmark = pytest.mark.ui

FIRST_ANSWER = 20_000
"""Milliseconds from the notebook to the side panel's loss after a reload: the extension asks on the control channel when the kernel has been
silent for 1.5 s, and waits 15 s for the answer. What came later would answer another question."""


@pytest.fixture
def theme():
    return "dark"


def count(number):
    """A number of steps that a page shows."""
    return int(number.inner_text().replace(",", ""))


def test_a_training_is_paused_stepped_given_another_rate_and_goes_on_while_the_page_is_hidden_and_reloaded(
    first_look, in_both_themes
):
    notebook = first_look
    training = notebook.find(TRAINING)
    panel = notebook.show_panel()
    notebook.run_through(training - 1)
    notebook.save()
    notebook.start(training)
    dashboard = notebook.dashboard
    dashboard.get_by_role("button", name="Pause").click()
    state = panel.locator(".jp-nni-Training")
    expect(state).to_have_attribute("data-state", "paused", timeout=PATIENCE)
    expect(dashboard.get_by_role("button", name="Resume")).to_be_visible(timeout=PATIENCE)
    in_both_themes("09-paused", "#nn-inspector-panel", ".nni-dashboard")
    shown = panel.locator("[data-number=step] dd")
    stood_at = shown.inner_text()
    panel.locator("[data-action=step]").click()
    expect(shown).not_to_have_text(stood_at, timeout=PATIENCE)

    panel.locator("[data-action=rate]").click()
    dialog = notebook.page.locator(".jp-Dialog")
    dialog.locator("input").fill("0.025")
    dialog.get_by_role("button", name="Set").click()
    panel.locator("[data-action=resume]").click()
    expect(panel.locator("[data-number=learning-rate] dd")).to_have_text("0.025", timeout=PATIENCE)
    expect(state).to_have_attribute("data-state", "running", timeout=PATIENCE)

    # So it is by the command palette.
    notebook.from_palette("Pause Training")
    expect(state).to_have_attribute("data-state", "paused", timeout=PATIENCE)
    stood_at = shown.inner_text()
    notebook.from_palette("Make One Training Step")
    expect(shown).not_to_have_text(stood_at, timeout=PATIENCE)
    notebook.from_palette("Set Learning Rate")
    dialog.locator("input").fill("0.05")
    dialog.get_by_role("button", name="Set").click()
    notebook.from_palette("Resume Training")
    expect(panel.locator("[data-number=learning-rate] dd")).to_have_text("0.05", timeout=PATIENCE)
    expect(state).to_have_attribute("data-state", "running", timeout=PATIENCE)
    assert notebook.busy, "the cell still runs"

    for rate in ("0.025", "0.0125"):
        dashboard.get_by_role("button", name="Rate ×0.5").click()
        expect(panel.locator("[data-number=learning-rate] dd")).to_have_text(rate, timeout=PATIENCE)
    expect(dashboard).to_contain_text("learning rate 0.0125", timeout=PATIENCE)

    # Nothing is sent to a page that nobody sees, and all of it is there when it is seen again.
    notebook.hide(hide=True)
    for _ in range(2):
        expect(shown).not_to_have_text(shown.inner_text(), timeout=PATIENCE)
    stood_at = notebook.step()
    for _ in range(2):
        expect(shown).not_to_have_text(shown.inner_text(), timeout=PATIENCE)
    assert notebook.step() == stood_at

    # One of two pages that is seen is enough, and it steers the training as the other does.
    other = notebook.in_another_page()
    side = other.show_panel()
    expect(side.locator(".jp-nni-Training")).to_have_attribute("data-state", "running", timeout=PATIENCE)
    notebook.wait_for_step(stood_at + 1)
    side.locator("[data-action=pause]").click()
    expect(state).to_have_attribute("data-state", "paused", timeout=PATIENCE)
    side.locator("[data-action=resume]").click()
    expect(state).to_have_attribute("data-state", "running", timeout=PATIENCE)

    # A notebook that is closed there is seen no more, though its page is.
    other.page.evaluate("() => { window.jupyterapp.shell.currentWidget.dispose(); }")
    expect(shown).not_to_have_text(shown.inner_text(), timeout=PATIENCE)
    stood_at = notebook.step()
    expect(shown).not_to_have_text(shown.inner_text(), timeout=PATIENCE)
    assert notebook.step() == stood_at
    other.page.close()
    notebook.hide(hide=False)
    stood_at = notebook.step()
    notebook.wait_for_step(stood_at + 1)

    # A page that is loaded anew finds the training where it is, with its whole history, and steers it.
    stood_at = count(shown)
    notebook.reload()
    curve = panel.locator(".jp-nni-Loss")
    expect(curve).to_be_visible(timeout=FIRST_ANSWER)
    assert int(curve.get_attribute("data-last")) >= stood_at
    expect(curve.locator("[data-curve=train]").first).to_have_attribute("d", re.compile(r"^M\d\."))
    expect(state).to_have_attribute("data-state", "running")
    expect(panel.locator("[data-number=learning-rate] dd")).to_have_text("0.0125")
    expect(shown).not_to_have_text(shown.inner_text(), timeout=PATIENCE)
    panel.locator("[data-action=pause]").click()
    expect(state).to_have_attribute("data-state", "paused", timeout=PATIENCE)
    in_both_themes("09-reloaded")
    panel.locator("[data-action=resume]").click()
    expect(state).to_have_attribute("data-state", "running", timeout=PATIENCE)

    # So does one that is closed and opened again later.
    stood_at = count(shown)
    notebook.page.close()
    notebook = notebook.in_another_page()
    panel, dashboard = notebook.show_panel(), notebook.dashboard
    shown, state = panel.locator("[data-number=step] dd"), panel.locator(".jp-nni-Training")
    curve = panel.locator(".jp-nni-Loss")
    expect(curve).to_be_visible(timeout=PATIENCE)
    assert int(curve.get_attribute("data-last")) >= stood_at
    expect(curve.locator("[data-curve=train]").first).to_have_attribute("d", re.compile(r"^M\d\."))
    expect(shown).not_to_have_text(shown.inner_text(), timeout=PATIENCE)
    panel.locator("[data-action=pause]").click()
    expect(state).to_have_attribute("data-state", "paused", timeout=PATIENCE)
    stood_at = count(shown)

    # After the cell, the panels are there again with all that was measured.
    notebook.command("notebook:interrupt-kernel")
    expect(state).to_have_attribute("data-state", "idle", timeout=PATIENCE)
    notebook.wait_until_idle()
    expect(dashboard.locator(".nni-chart svg").first).to_be_visible(timeout=PATIENCE)
    notebook.wait_for_step(stood_at)
    expect(dashboard.locator(".nni-chart").first.locator(".axis").first.locator(".tick text").first).to_have_text("0")
