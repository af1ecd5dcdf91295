"""A report in a browser: on screen its long parts are folded, on paper they are not. A static twin outside of JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import nn_inspector as nni
from nn_inspector.history.finding import Trial
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.static_twin import static_html
from nn_inspector.probes import Measurement
from nn_inspector.report import write_report
from tests.ui.access import expect_accessible

pytestmark = pytest.mark.ui


LONG = (
    "optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, betas=(0.9, 0.999))  # all of them"
)


@pytest.fixture
def run() -> nni.Run:
    names = [f"block.{place}" for place in range(400)]
    parameters = {"modules": dict.fromkeys(names, "Linear"), "own_parameters": dict.fromkeys(names, 1056)}
    run = nni.Run("made", {"model": "M", **parameters})
    run.record([Measurement(step, "loss", "train", 1.0 / (1 + step)) for step in range(20)])
    run.record([Measurement(0, "activation_spread", name, 1.0) for name in names])
    run.steps = 20
    remedy = nni.Remedy("Take another one.", LONG, Trial([2.0, 1.9], [2.0, 0.1], True))
    run.add_finding(nni.Finding("zeroed_gradients", "error", "They are kept.", remedy=remedy, basis="structure"))
    run.add_finding(nni.Finding("one_batch_fit", "warning", "It does not."))
    run.metadata = {"cells": ["x = 1"], "python": "3.11"}
    return run


@pytest.fixture
def report(run: nni.Run, page: Page, tmp_path) -> Page:
    page.goto(write_report(run, tmp_path / "report.html").as_uri())
    return page


def test_print_unfolds_the_checklist_and_leaves_a_long_table_folded(report):
    question = next(info.question for info in nni.catalog() if info.name == "shuffling")
    folded = [report.get_by_text(text, exact=True) for text in (question, "x = 1", "3.11")]
    for text in folded:
        expect(text).to_be_hidden()
    report.emulate_media(media="print")
    for text in folded:
        expect(text).to_be_visible()
    expect(report.get_by_role("listitem").filter(has_text="It does not.")).to_be_visible()
    expect(report.get_by_text("400 modules")).to_be_visible()
    expect(report.get_by_text("block.7", exact=True)).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1000])
def test_a_report_of_a_large_network_is_short_and_fits_its_page(report, width):
    report.set_viewport_size({"width": width, "height": 800})
    assert report.evaluate("document.documentElement.scrollHeight") < 6000
    expect(report.get_by_role("img")).to_have_count(3)
    assert report.evaluate("document.documentElement.scrollWidth") <= width
    unfolded = "() => document.querySelectorAll('details').forEach(part => { part.open = true; })"
    report.evaluate(unfolded)
    assert report.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_accessible_in_both_schemes(report, scheme):
    report.emulate_media(color_scheme=scheme)
    report.evaluate("() => document.querySelectorAll('details').forEach(part => { part.open = true; })")
    expect_accessible(report, "body")


def test_a_twin_that_is_shown_without_a_kernel_is_accessible_and_fits_a_narrow_page(run, page):
    page.set_viewport_size({"width": 360, "height": 800})
    page.set_content(f'<html lang="en"><title>Notebook</title><main>{static_html(run, Selection())}</main></html>')
    expect(page.get_by_role("img")).to_be_visible()
    expect_accessible(page, "main")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
