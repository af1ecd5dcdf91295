"""A report in a browser: on screen its long parts are folded, on paper they are not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import nn_inspector as nni
from nn_inspector.report import write_report

pytestmark = pytest.mark.ui


@pytest.fixture
def report(page: Page, tmp_path) -> Page:
    names = [f"block.{place}" for place in range(400)]
    parameters = {"modules": dict.fromkeys(names, "Linear"), "own_parameters": dict.fromkeys(names, 1056)}
    run = nni.Run("made", {"model": "M", **parameters})
    run.add_finding(nni.Finding("zeroed_gradients", "error", "They are kept.", basis="structure"))
    run.add_finding(nni.Finding("one_batch_fit", "warning", "It does not."))
    run.metadata = {"cells": ["x = 1"], "python": "3.11"}
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
    assert report.evaluate("document.documentElement.scrollHeight") < 4000
    assert report.evaluate("document.documentElement.scrollWidth") <= width
