"""What the lab extension adds to JupyterLab and Notebook 7: toolbar, palette, launcher, the twin of a reopened notebook."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.ui.lab import PATIENCE, TRAINING, Notebook, copy_first_look, shut_down_kernels

pytestmark = pytest.mark.ui


def test_the_toolbar_button_opens_the_wizard_which_finds_the_objects(first_look, in_both_themes):
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
    in_both_themes("07-wizard-start", ".nni-wizard")
    wizard.get_by_role("button", name="Start").click()
    wizard.get_by_role("button", name="Run this check").click()
    expect(wizard.locator(".nni-verdict")).to_contain_text("ok", timeout=2 * PATIENCE)


def test_the_palette_offers_the_commands_and_inserts_a_check_below_the_active_cell(first_look):
    notebook = first_look
    notebook.command("apputils:activate-command-palette")
    palette = notebook.page.locator(".lm-CommandPalette")
    palette.locator("input").fill("Network inspector")
    for label in ("Open Debug Wizard", "Insert Cell to Watch Training", "Insert Check", "Stop Training"):
        expect(palette.locator(".lm-CommandPalette-item", has_text=label).first).to_be_visible(timeout=PATIENCE)

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


def test_a_reopened_notebook_shows_the_static_twin_though_its_kernel_was_killed_while_a_cell_ran(
    first_look, in_both_themes
):
    notebook = first_look
    page = notebook.page
    watched = notebook.find("nni.watch(model, optimizer")
    notebook.run_through(watched)
    training = notebook.find(TRAINING)
    notebook.start(training)
    notebook.wait_for_step(30)
    notebook.command("nn-inspector:pause-training")
    expect(page.locator(".nni-static img")).to_be_attached(timeout=PATIENCE)
    expect(page.locator(".nni-static img")).to_be_hidden()
    expect(notebook.dashboard).to_be_visible()
    assert notebook.busy, "the cell still runs"
    notebook.save()
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.reload()
    page.locator(".jp-Notebook").wait_for(timeout=PATIENCE)
    twin = page.locator(".nni-static img").first
    twin.scroll_into_view_if_needed(timeout=PATIENCE)
    expect(twin).to_be_visible()
    expect(page.get_by_text("model not found")).to_be_hidden()
    in_both_themes("08-reopened", ".nni-static:has(img)")


def test_in_notebook_7_the_panels_move_and_a_training_is_stopped(quiet_page, root, address, in_both_themes):
    copy_first_look(root / "notebook_7.ipynb")
    notebook = Notebook.open(quiet_page, address, "notebook_7.ipynb", app="notebook")
    training = notebook.find(TRAINING)
    notebook.run_through(training - 1)
    notebook.start(training)
    notebook.wait_for_step(30)
    assert notebook.busy
    notebook.dashboard.evaluate("element => element.scrollIntoView()")
    in_both_themes("10-notebook-7")
    notebook.dashboard.get_by_role("button", name="Stop").click()
    expect(notebook.output(training)).to_contain_text("Training stopped after step", timeout=PATIENCE)
    panel = notebook.show_panel()
    expect(panel.locator(".jp-nni-Training")).to_have_attribute("data-state", "idle", timeout=PATIENCE)
    expect(panel.locator(".jp-nni-Stage")).to_have_count(6)
    shut_down_kernels(address)
