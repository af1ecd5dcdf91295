"""A network of hundreds of layers: a search among them, rows that unfold, and marks at the rows of what was found."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.ui.lab import PATIENCE, Notebook, shut_down_kernels

pytestmark = pytest.mark.ui

NETWORK = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.act, self.down = nn.LayerNorm(16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)

    def forward(self, x):
        return x + self.down(self.act(self.up(self.norm(x))))


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList(Block() for _ in range(60))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        for block in self.h:
            x = block(x)
        return self.head(x)


model = Deep()
with torch.no_grad():
    model.h[37].up.bias.fill_(-100.0)  # nothing goes through this block's ReLU
optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
loss_fn = nn.CrossEntropyLoss()
loader = DataLoader(TensorDataset(torch.randn(256, 16), torch.randint(4, (256,))), 32, shuffle=True)
"""
WATCH = "inspector = nni.watch(model, optimizer, loss_fn, train_loader=loader)"
TRAIN = """
for epoch in range(epochs):
    for x, y in loader:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
"""
SOURCES = (NETWORK, WATCH, f"epochs = 10{TRAIN}", 'inspector.check("dead_units")', f"epochs = 5000{TRAIN}")
TOGETHER = re.compile(r"h\.\d+\u2013\d+")
"""A row of several blocks: h.36 to h.38, say."""


@pytest.fixture
def deep(quiet_page, root, address):
    cells = [
        {"cell_type": "code", "id": f"cell-{place}", "source": source.strip(), "metadata": {}, "outputs": [], "execution_count": None}
        for place, source in enumerate(SOURCES)
    ]  # fmt: skip
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (root / "deep.ipynb").write_text(json.dumps(content))
    yield Notebook.open(quiet_page, address, "deep.ipynb")
    shut_down_kernels(address)


def test_a_layer_among_hundreds_is_found_by_its_name_its_row_and_its_mark(deep, in_both_themes):
    notebook, page = deep, deep.page
    notebook.run_through(3)
    board = notebook.dashboard
    board.locator(".nni-panel-opener").press("Enter")
    board.locator(".nni-panel-choice button", has_text="Dead and saturated units").press("Enter")
    board.locator(".nni-panel-opener").press("Enter")
    idle = board.locator(".nni-chart").nth(3)
    flow = board.locator(".nni-chart").nth(1)
    expect(board.locator(".nni-chart")).to_have_count(5, timeout=PATIENCE)

    def rows(chart):
        return chart.locator(".axis .tick text").filter(has_text=re.compile(r"h\."))

    # Hundreds of layers have few rows, and the row that hides what was found has a mark.
    expect(rows(flow).filter(has_text=TOGETHER).first).to_be_visible(timeout=PATIENCE)
    assert rows(flow).count() <= 24
    expect(idle).to_contain_text("dead_units", timeout=PATIENCE)
    board.evaluate("element => element.scrollIntoView()")
    in_both_themes("14-hundreds-of-layers", ".nni-dashboard")

    # What is typed keeps the layers that have it in their names.
    find, layers = board.get_by_role("combobox", name="Find layer"), board.locator(".nni-layer-picker select")
    clear = board.locator(".nni-layer-picker").get_by_role("button", name="Clear")
    find.focus()
    page.keyboard.type("h.37.")
    in_both_themes("14-find", ".nni-dashboard")  # with the names below it that the browser offers
    page.keyboard.press("Enter")
    expect(layers.locator("option").first).to_have_text("4 of 241 layers", timeout=PATIENCE)
    expect(clear).to_be_disabled()
    find.fill("no such thing")
    find.press("Enter")
    expect(layers.locator("option").first).to_have_text("no such layer", timeout=PATIENCE)
    find.fill("h.37.act")
    find.press("Enter")
    expect(clear).to_be_enabled(timeout=PATIENCE)
    expect(rows(idle).filter(has_text="▸ h.37.act")).to_have_count(1, timeout=PATIENCE)
    expect(rows(flow).filter(has_text="▸")).to_contain_text("h.36", timeout=PATIENCE)  # it has no gradient of its own
    in_both_themes("14-found-layer", ".nni-dashboard")
    find.fill("")
    find.press("Enter")
    clear.press("Enter")
    expect(clear).to_be_disabled(timeout=PATIENCE)
    expect(rows(idle).filter(has_text="▸")).to_have_count(0, timeout=PATIENCE)

    # A row of several blocks unfolds at a click, and folds at Clear.
    folded = rows(flow).count()
    row = rows(flow).filter(has_text=TOGETHER).nth(3)
    row.click(force=True)
    expect(clear).to_be_enabled(timeout=PATIENCE)
    expect(rows(flow)).not_to_have_count(folded, timeout=PATIENCE)
    assert folded < rows(flow).count() <= folded + 12
    in_both_themes("14-unfolded")
    clear.press("Enter")
    expect(rows(flow)).to_have_count(folded, timeout=PATIENCE)

    # With the keyboard it is the list that does it.
    layers.focus()
    layers.press("ArrowDown")
    expect(clear).to_be_enabled(timeout=PATIENCE)
    expect(rows(flow)).not_to_have_count(folded, timeout=PATIENCE)
    expect(rows(flow).filter(has_text="▸")).not_to_have_count(0)
    clear.press("Enter")
    expect(rows(flow)).to_have_count(folded, timeout=PATIENCE)

    # All of it works while a cell runs; the mark leads to the layer.
    notebook.start(4)
    expect(board.get_by_role("button", name="Stop")).to_be_enabled(timeout=PATIENCE)
    find.fill("h.12.up")
    find.press("Enter")
    expect(rows(flow).filter(has_text="▸ h.12.up")).to_have_count(1, timeout=PATIENCE)
    clear.click()
    find.fill("")
    find.press("Enter")
    expect(rows(flow)).to_have_count(folded, timeout=PATIENCE)
    rows(flow).filter(has_text=TOGETHER).nth(3).click(force=True)
    expect(rows(flow)).not_to_have_count(folded, timeout=PATIENCE)
    expect(notebook.output(4)).not_to_contain_text("Training stopped")
    board.get_by_role("button", name="Stop").click()
    expect(notebook.output(4)).to_contain_text("Training stopped after step", timeout=PATIENCE)
    notebook.wait_until_idle()
    clear.click()
    expect(rows(flow)).to_have_count(folded, timeout=PATIENCE)
    idle.locator(".dot_grp path, .dot").last.click(force=True)
    expect(rows(idle).filter(has_text="▸ h.37.act")).to_have_count(1, timeout=PATIENCE)
    in_both_themes("14-from-the-mark")
