"""The wizard for those who do not see it, or have no mouse: what it says, and one of its steps with the keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from nn_inspector.checks import STAGES, find_check
from tests.ui.lab import PATIENCE

pytestmark = pytest.mark.ui

WORDS = re.compile(r"[A-Za-z]{4,}")
MOST_STOPS = 30
"""So many times Tab leads from one end of the wizard to what is looked for, at most."""


def go_to(target: Locator) -> None:
    """Press Tab until a button has the focus."""
    for _ in range(MOST_STOPS):
        target.page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {target}")


def test_the_wizard_is_read_out_and_a_step_is_made_with_the_keyboard_alone(first_look, in_both_themes):
    notebook, page = first_look, first_look.page
    notebook.run_through(notebook.find("nni.watch(model, optimizer"))
    notebook.run(notebook.find("nni.wizard()"))
    wizard = notebook.wizard

    # Headings lead to it and to its question, and each button says in words what it does.
    question = wizard.get_by_role("heading", level=3)
    expect(wizard.get_by_role("heading", name="Debug wizard", level=2)).to_be_visible(timeout=PATIENCE)
    expect(question).to_have_text(find_check("label_balance").info.question)
    for button in wizard.get_by_role("button").all():
        expect(button).to_have_accessible_name(WORDS)

    # Stage, step, check: Tab and Enter are enough, and the focus is not lost on the way.
    stage = wizard.get_by_role("button", name=STAGES["init"])
    wizard.get_by_role("button").first.focus()
    go_to(stage)
    page.keyboard.press("Enter")
    expect(question).to_have_text(find_check("initial_loss").info.question, timeout=PATIENCE)
    run = wizard.get_by_role("button", name="Run this check")
    go_to(run)
    page.keyboard.press("Enter")
    expect(wizard.get_by_role("status")).to_have_text(re.compile(r"ok\s+The first loss is 2\.\d+"), timeout=PATIENCE)

    # What was found is said, and so is what the picture shows.
    words = re.compile(r"^Evidence: loss, 2 rows; loss: greatest 2\.\d+ at .*, least 2\.\d+ at .*\.$")
    expect(wizard.get_by_role("img", name=words)).to_be_visible(timeout=PATIENCE)
    expect(wizard.get_by_role("list", name="What the charts show now").get_by_role("listitem")).to_have_text([words])
    expect(wizard.get_by_role("rowheader", name="first loss")).to_be_visible()
    wizard.scroll_into_view_if_needed()
    in_both_themes("16-wizard-read-out", ".nni-wizard")

    # On to the next step, and the one before it.
    go_to(wizard.get_by_role("button", name="Next"))
    page.keyboard.press("Enter")
    expect(question).to_have_text(find_check("output_bias").info.question, timeout=PATIENCE)
    page.keyboard.press("Shift+Tab")
    expect(wizard.get_by_role("button", name="Back")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_have_text(find_check("initial_loss").info.question, timeout=PATIENCE)
    expect(wizard.get_by_role("status")).to_contain_text("The first loss is")
