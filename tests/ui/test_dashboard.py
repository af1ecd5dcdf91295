"""What is done with the panels after a training was stopped: choice, time travel, a narrow page, going on, a new kernel."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.access import expect_focus_to_be_seen
from tests.ui.lab import PATIENCE, TRAINING

pytestmark = pytest.mark.ui

MORE = (
    "Predictions",
    "Confusion",
    "Worst items",
    "Dead and saturated units",
    "Architecture",
    "NaN and Inf",
    "Weights over time",
)
NARROW, WIDE = 480, 1920


@pytest.fixture
def theme():
    return "dark"


def test_a_stopped_training_is_looked_at_step_by_step_goes_on_and_outlives_its_kernel(first_look, in_both_themes):
    notebook, page = first_look, first_look.page
    training = notebook.find(TRAINING)
    notebook.run_through(training - 1)
    notebook.start(training)
    notebook.wait_for_step(30)
    notebook.dashboard.locator(".nni-panel-opener").click()
    expect(notebook.dashboard.locator(".nni-panel-choice")).to_contain_text("comes when the cell has ended")
    notebook.dashboard.locator(".nni-panel-opener").click()
    notebook.command("nn-inspector:stop-training")
    expect(notebook.output(training)).to_contain_text("Training stopped after step", timeout=PATIENCE)
    expect(page.locator(".Toastify__toast")).to_contain_text("stops after this step", timeout=PATIENCE)
    notebook.wait_until_idle()
    stopped_at = notebook.step()

    # Panels are chosen with the keyboard. They are folded up, so that the charts come first.
    board = notebook.dashboard
    board.scroll_into_view_if_needed()
    charts = board.locator(".nni-chart")
    expect(charts).to_have_count(4)
    opener = board.locator(".nni-panel-opener")
    opener.focus()
    expect(board.locator(".nni-panel-choice")).to_be_hidden()
    opener.press("Enter")
    expect(board.locator(".nni-panel-choice")).to_be_visible()
    for title in MORE:
        button = board.locator(".nni-panel-choice button", has_text=re.compile(f"^{title}$"))
        button.focus()
        button.press("Enter")
        expect(button).to_have_class(re.compile("mod-active"))
    expect(charts).to_have_count(11, timeout=PATIENCE)
    expect(opener).to_contain_text("Panels: 11 of 33")

    # Whatever Tab comes to in the dashboard is seen to have the focus.
    assert expect_focus_to_be_seen(page, ".nni-dashboard", opener) > 11

    # The slider goes back in time, Play comes forward again.
    slider = board.get_by_role("slider", name="Step")
    latest = board.get_by_role("button", name="Latest")
    expect(latest).to_be_disabled()
    slider.focus()
    slider.press("Home")
    expect(latest).to_be_enabled(timeout=PATIENCE)
    expect(slider).to_have_attribute("aria-valuenow", re.compile(r"^0(\.0)?$"))
    expect(board).to_contain_text(re.compile(r"shown: step 0 \(0 to [\d,]+\)"))
    in_both_themes("10-time-travel", ".nni-dashboard")
    board.get_by_role("button", name="Play").click()
    expect(slider).not_to_have_attribute("aria-valuenow", re.compile(r"^0(\.0)?$"), timeout=PATIENCE)
    board.get_by_role("button", name="Stop playing").click()
    expect(board.get_by_role("button", name=re.compile("Play"))).to_be_visible(timeout=PATIENCE)
    latest.click()
    expect(latest).to_be_disabled(timeout=PATIENCE)

    # In a narrow page they stand below each other, and nothing is wider than its place.
    notebook.resize(NARROW, 5000)  # bqplot draws only what is in view
    expect(charts).to_have_count(11)
    board.evaluate("element => element.scrollIntoView()")
    notebook.expect_within(".nni-dashboard")
    notebook.expect_ticks_apart(".nni-dashboard")
    in_both_themes("10-narrow", ".nni-dashboard")

    # On a wide one they take the room that there is.
    notebook.resize(WIDE, 5000)
    board.evaluate("element => element.scrollIntoView()")
    notebook.expect_within(".nni-dashboard")
    script = """() => {
        const board = [...document.querySelectorAll('.nni-dashboard')].at(-1);
        const wide = (inner, outer, share = 0.95) => inner.getBoundingClientRect().width > share * outer.getBoundingClientRect().width;
        const charts = [...board.querySelectorAll('.nni-chart')].filter(chart => chart.querySelector('.svg-figure') !== null);
        return wide(board.querySelector('.widget-gridbox'), board)
            && charts.length > 0 && charts.every(chart => wide(chart.querySelector('.plotarea_background'), chart, 0.6));
    }"""
    page.wait_for_function(script, timeout=PATIENCE)
    page.screenshot(path="build/screenshots/10-wide.png")
    notebook.resize()

    # The training goes on where it was, and Interrupt ends it as Stop does.
    notebook.start(training)
    notebook.wait_for_step(stopped_at + 1)
    notebook.command("notebook:interrupt-kernel")
    expect(notebook.output(training)).to_contain_text("KeyboardInterrupt", timeout=PATIENCE)
    notebook.wait_until_idle()
    notebook.run(notebook.find("inspector.diagnose()"))
    expect(notebook.output(notebook.find("inspector.diagnose()"))).to_contain_text(
        "likely causes were found", timeout=2 * PATIENCE
    )
    recorded = notebook.step()

    # The run outlives its kernel.
    notebook.restart()
    again = notebook.append("import nn_inspector as nni\nrun = nni.runs()[0]\nprint(run.steps)")
    notebook.run(again)
    expect(notebook.output(again)).to_have_text(str(recorded))
    again = notebook.append("run.dashboard()")
    notebook.run(again)
    board = notebook.dashboard
    expect(board.locator(".nni-chart svg").first).to_be_visible(timeout=PATIENCE)
    expect(board.locator(".nni-findings")).to_contain_text("Remedy.", timeout=PATIENCE)
    for name in ("Stop", "Pause", "Rate ×0.5", "Read again"):
        expect(board.get_by_role("button", name=name, exact=True)).not_to_be_visible()
    slider = board.get_by_role("slider", name="Step")
    slider.focus()
    slider.press("Home")
    expect(board).to_contain_text(f"shown: step 0 (0 to {recorded - 1:,})", timeout=PATIENCE)
    board.evaluate("element => element.scrollIntoView()")
    in_both_themes("10-run-after-restart", ".nni-dashboard")
    again = notebook.append("nni.compare(run, reference=range(5, 25))")
    notebook.run(again)
    comparison = page.locator(".nni-comparison")
    expect(comparison.locator(".nni-chart svg").first).to_be_visible(timeout=PATIENCE)
    comparison.evaluate("element => element.scrollIntoView()")
    in_both_themes("10-after-restart")
