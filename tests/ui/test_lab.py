"""What the lab extension adds to JupyterLab: toolbar, palette, launcher, the static twin of a reopened notebook."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ui.access import expect_accessible
from tests.ui.lab import PATIENCE, Notebook

pytestmark = pytest.mark.ui


@pytest.fixture(scope="module")
def theme():
    return "light"


def test_the_toolbar_button_opens_the_wizard_which_finds_the_objects(first_look, picture):
    notebook = first_look
    notebook.run_through(notebook.find("optimizer = torch.optim.SGD"))
    before = len(notebook.sources())
    notebook.page.locator("[data-jp-item-name=nn-inspector-wizard]").click()
    notebook.wait_for_more_cells_than(before)
    wizard = notebook.wizard
    expect(wizard.get_by_role("button", name="Start")).to_be_enabled(timeout=PATIENCE)
    for label, name in {
        "Model": "model",
        "Optimizer": "optimizer",
        "Loss": "loss_fn",
        "Training loader": "train_loader",
    }.items():
        expect(wizard.get_by_label(label, exact=True)).to_have_value(name)
    picture("07-wizard-start")
    expect_accessible(notebook.page, ".nni-wizard")
    wizard.get_by_role("button", name="Start").click()
    wizard.get_by_role("button", name="Run this check").click()
    expect(wizard.locator(".nni-verdict")).to_contain_text("ok", timeout=2 * PATIENCE)


def test_the_palette_offers_the_commands(first_look):
    notebook = first_look
    notebook.command("apputils:activate-command-palette")
    palette = notebook.page.locator(".lm-CommandPalette")
    palette.locator("input").fill("Network inspector")
    for label in ("Open Debug Wizard", "Insert Cell to Watch Training", "Insert Check", "Stop Training"):
        expect(palette.locator(".lm-CommandPalette-item", has_text=label).first).to_be_visible(timeout=PATIENCE)


def test_a_check_is_inserted_from_the_palette_below_the_active_cell(first_look):
    notebook = first_look
    before = notebook.sources()
    notebook.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2; }")
    notebook.command("nn-inspector:insert-check", check="shuffling")
    notebook.wait_for_more_cells_than(len(before))
    assert "%nn_check shuffling" in notebook.sources()[3]


def test_the_launcher_card_makes_a_notebook_that_runs(page, address):
    page.goto(f"{address}/lab/workspaces/launcher?reset")
    page.locator(".jp-LauncherCard[title*='Create a notebook that watches']").first.click(timeout=PATIENCE)
    page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
    notebook = Notebook(page)
    notebook.wait_until_idle()
    notebook.run_through(len(notebook.sources()) - 1)
    expect(notebook.wizard).to_be_visible(timeout=PATIENCE)
    assert (
        page.locator(
            ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'], .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']"
        ).count()
        == 0
    )


def test_panels_are_chosen_and_the_slider_goes_back_in_time(first_look, picture):
    notebook = first_look
    watched = notebook.find("nni.watch(model, optimizer")
    notebook.run_through(watched)
    loop = notebook.find("for epoch in range(150)")
    notebook.start(loop)
    notebook.wait_for_step(30)
    notebook.command("nn-inspector:stop-training")
    notebook.wait_until_idle()

    board = notebook.dashboard
    board.scroll_into_view_if_needed()
    charts = board.locator(".nni-chart")
    expect(charts).to_have_count(4)
    for title in ("Predictions", "Confusion", "Worst items", "Dead and saturated units", "Architecture", "NaN and Inf"):
        button = board.get_by_role("button", name=title)
        button.focus()
        button.press("Enter")
        expect(button).to_have_class(re.compile("mod-active"))
    expect(charts).to_have_count(10, timeout=PATIENCE)

    slider = board.get_by_role("slider", name="Step")
    latest = board.get_by_role("button", name="Latest")
    expect(latest).to_be_disabled()
    slider.focus()
    slider.press("Home")
    expect(latest).to_be_enabled(timeout=PATIENCE)
    expect(slider).to_have_attribute("aria-valuenow", re.compile(r"^0(\.0)?$"))
    picture("09-time-travel")
    expect_accessible(notebook.page, ".nni-dashboard")
    board.get_by_role("button", name="Play").click()
    expect(slider).not_to_have_attribute("aria-valuenow", re.compile(r"^0(\.0)?$"), timeout=PATIENCE)
    board.get_by_role("button", name="Stop playing").click()
    expect(board.get_by_role("button", name=re.compile("Play"))).to_be_visible(timeout=PATIENCE)
    latest.click()
    expect(latest).to_be_disabled(timeout=PATIENCE)


def test_a_reopened_notebook_without_a_kernel_shows_the_static_twin(first_look, address, picture):
    notebook = first_look
    page = notebook.page
    watched = notebook.find("nni.watch(model, optimizer")
    notebook.run_through(watched)
    notebook.run(notebook.find("for epoch in range(150)"))
    expect(notebook.dashboard).to_be_visible()
    expect(page.locator(".nni-static img")).to_be_hidden()
    notebook.command("docmanager:save")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE)
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.reload()
    page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
    twin = page.locator(".nni-static img").first
    twin.scroll_into_view_if_needed(timeout=PATIENCE)
    expect(twin).to_be_visible()
    expect(page.get_by_text("model not found")).to_be_hidden()
    picture("08-reopened")
