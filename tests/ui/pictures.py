"""`python -m tests.ui.pictures`: docs/panels.md, and a picture of each panel on a real training in a real JupyterLab."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
from playwright.sync_api import Page, expect, sync_playwright

from nn_inspector.panels.choice import PANELS
from nn_inspector.panels.panel import Panel
from tests.ui.conftest import FLAGS, THEMES
from tests.ui.lab import PATIENCE, Notebook, serve

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "panels.md"
FOLDER = DOCS / "images" / "panels"
IN_DARK = ("loss", "gradient_flow", "activation_history", "confusion", "nonfinite_map")
"""Panels of which there is a dark picture as well."""

DATA = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import nn_inspector as nni

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
images = (images - images.mean()) / images.std()
data = TensorDataset(images, torch.tensor(digits.target))
train_data, val_data = torch.utils.data.random_split(data, [1500, 297])
train_loader = DataLoader(train_data, batch_size=25, shuffle=True)
val_loader = DataLoader(val_data, batch_size=297)
loss_fn = nn.CrossEntropyLoss()
"""

SOUND = """
epochs = 8
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(512, 64), nn.Tanh(), nn.Dropout(0.2), nn.Linear(64, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 0.2, epochs=epochs, steps_per_epoch=len(train_loader), cycle_momentum=False, div_factor=10, final_div_factor=2
)
inspector = nni.watch(
    model, optimizer, loss_fn, train_loader=train_loader, val_loader=val_loader, keep_samples=True, every=5, probes="full",
    show=False,
)
for epoch in range(epochs):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        said = model(x)
        loss_fn(said, y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        scheduler.step()
        inspector.log(accuracy=(said.argmax(1) == y).float().mean())
    model.eval()
    with torch.no_grad():
        for x, y in val_loader:
            said = model(x)
            loss_fn(said, y)
            inspector.validation(accuracy=(said.argmax(1) == y).float().mean())
inspector.dashboard()
"""

DIVERGED = """
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=500.0)
inspector = nni.watch(model, optimizer, loss_fn, train_loader=train_loader, every=1, show=False)
for x, y in train_loader:
    optimizer.zero_grad()
    loss_fn(model(x), y).backward()
    optimizer.step()
inspector.dashboard()
"""

SEQUENCES = """
class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.GRU(8, 32, batch_first=True)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.again = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, images):
        states, _ = self.rows(images.squeeze(1))
        for attention in (self.attention, self.again):
            states = states + attention(states, states, states)[0]
        return self.head(states[:, -1])

model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
inspector = nni.watch(model, optimizer, loss_fn, train_loader=train_loader, every=5, probes="full", show=False)
for epoch in range(4):
    for x, y in train_loader:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
inspector.dashboard()
"""

CELLS = (DATA, SOUND, DIVERGED, SEQUENCES)
TRAINING = {"nonfinite_map": DIVERGED, "attention_entropy": SEQUENCES, "hidden_norm": SEQUENCES}
"""Name of a panel -> where it has something to show, if not in a sound training."""

HEAD = """# The panels

Each panel on a real training: handwritten digits, a small convolutional network, a learning rate that is warmed up and falls
(for NaN and Inf: a rate that is far too large; for attention and hidden states: a network that reads them row by row). `python -m tests.ui.pictures` trains it in a JupyterLab and makes this page and its pictures;
what it says comes from `nn_inspector/panels`. How the panels behave while a cell runs stands in [live.md](live.md).
`inspector.dashboard(panels=["loss", "memory"])` shows these two first, by their names; the buttons below “Panels” add and take away.
"""


def text() -> str:
    """The text of docs/panels.md."""
    return "\n".join([HEAD, *map(_section, PANELS)])


def picture_of(panel: Panel, theme: str = "light") -> Path:
    """Where the picture of a panel lies."""
    return FOLDER / f"{panel.name}{'' if theme == 'light' else '-dark'}.png"


def cell_of(panel: Panel) -> int:
    """Index of the cell with the training in which a panel has something to show."""
    return CELLS.index(TRAINING.get(panel.name, SOUND))


def _section(panel: Panel) -> str:
    shows = (panel.picture.__doc__ or "").split("\n")[0]
    themes = THEMES if panel.name in IN_DARK else ("light",)
    pictures = [f"![{panel.title}, {theme}]({picture_of(panel, theme).relative_to(DOCS)})" for theme in themes]
    lines = [f"## {panel.title}", "", f"{shows} Its name: `{panel.name}`.", "", panel.healthy, "", *pictures]
    if panel.checks:
        lines += ["", f"Checks whose findings can be seen here: {_links(panel.checks)}."]
    if panel.related:
        lines += ["", f"Checks that ask after the same thing: {_links(panel.related)}."]
    return "\n".join([*lines, ""])


def _links(checks: Iterable[str]) -> str:
    return ", ".join(f"[{check}](checks/{check}.md)" for check in checks)


def photograph(page: Page, address: str, theme: str) -> None:
    """Take the pictures of one theme."""
    notebook = Notebook.open(page, address, "panels.ipynb")
    for cell in range(len(CELLS)):
        notebook.run(cell)
    panels = [panel for panel in PANELS if theme == "light" or panel.name in IN_DARK]
    for cell in set(map(cell_of, panels)):
        chosen = [panel for panel in panels if cell_of(panel) == cell or panel.name == "loss"]  # two columns
        titles = [panel.title for panel in chosen]
        board = notebook.output(cell).locator(".nni-dashboard")
        board.locator(".nni-panel-opener").click()
        for button in board.locator(".nni-panel-choice button").all():
            shown = "mod-active" in (button.get_attribute("class") or "")
            if shown != (button.inner_text() in titles):
                button.click()
        charts = board.locator(".nni-chart")
        expect(charts).to_have_count(len(chosen), timeout=3 * PATIENCE)
        for place, panel in enumerate(chosen):
            if cell_of(panel) == cell:
                card = charts.nth(place).locator("xpath=..")
                expect(card).to_contain_text(panel.title)
                card.scroll_into_view_if_needed()
                page.mouse.move(0, 0)  # bqplot shows its buttons beneath it
                page.wait_for_timeout(1000)  # bqplot draws in its own time
                card.screenshot(path=picture_of(panel, theme))


def main() -> int:
    """Write the page and its pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text(), encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for theme, name in THEMES.items():
            with tempfile.TemporaryDirectory() as folder, serve(Path(folder), name) as address:
                kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
                cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
                notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
                nbformat.write(notebook, Path(folder) / "panels.ipynb")
                photograph(chromium.new_page(viewport={"width": 1400, "height": 1000}), address, theme)
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
