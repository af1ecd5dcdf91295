import html
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.history.finding import Trial
from nn_inspector.history.finding_html import MARKS
from nn_inspector.panels.choice import PANELS
from nn_inspector.probes import Measurement
from nn_inspector.report import MOST_CHARTS, MOST_ROWS, write_report
from tests.trainings import blobs, classifier


@pytest.fixture(scope="module")
def watched():
    case = classifier(data=blobs(600, spread=2.5), lr=0.5)
    with nni.watch(
        case.model,
        case.optimizer,
        case.loss_fn,
        train_loader=case.train_loader,
        every=1,
        motivation="To see <b>it</b>.",
    ) as inspector:
        case.run(4, zero_grad=False)
        inspector.diagnose(active=False)
        yield inspector


@pytest.fixture(scope="module")
def text(watched, tmp_path_factory):
    """The page of a training with findings."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert watched.report(path) == path
    return path.read_text(encoding="utf-8")


def test_a_report_holds_findings_pictures_and_parameters(text):
    assert "zeroed_gradients" in text
    assert "Remedy." in text
    assert "steps of the wizard were made" in text
    assert text.count("<figure>") >= 9
    assert "learning rate" not in re.sub(r"<figure>.*?</figure>", "", text) or "optimizers 0 groups 0 lr" in text
    assert "To see &lt;b&gt;it&lt;/b&gt;." in text
    assert len(text) < 2 * 2**20


class Reader(nn.Module):
    """Has something of all that panels show: convolution, recurrent layer, attention."""

    def __init__(self):
        super().__init__()
        self.edges, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()
        self.rows = nn.GRU(8 * 16, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, images):
        states, _ = self.rows(self.act(self.edges(images)).permute(0, 2, 1, 3).flatten(2))
        return self.head((states + self.attention(states, states, states)[0])[:, -1])


def test_a_report_with_all_pictures_and_images_of_items_stays_below_two_megabytes(tmp_path):
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(64, 3, 16, 16), torch.randint(0, 10, (64,)))
    loader, held_out = DataLoader(data, batch_size=16, shuffle=True), DataLoader(data, batch_size=64)
    model, loss_fn = Reader(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    options = {"train_loader": loader, "val_loader": held_out, "every": 1, "probes": "full", "keep_samples": True}
    with nni.watch(model, optimizer, loss_fn, **options) as inspector:
        for _ in range(3):
            for inputs, target in loader:
                optimizer.zero_grad()
                loss_fn(model(inputs), target).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                inspector.log(accuracy=0.1)
            with torch.no_grad():
                loss_fn(model(data.tensors[0]), data.tensors[1])
    noise = np.random.default_rng(0)
    inspector.run.record([Measurement(step, "loss", "train", noise.normal() ** 2) for step in range(13, 5000)])
    trial = Trial(list(noise.normal(size=200)), list(noise.normal(size=200)), True)
    for info in nni.catalog()[: MOST_CHARTS + 3]:
        finding = nni.Finding(info.name, "error", "It is.", remedy=nni.Remedy("Do.", "x", trial), basis="structure")
        inspector.run.add_finding(finding)
    text = inspector.report(tmp_path / "report.html").read_text(encoding="utf-8")
    shown = [panel.title for panel in PANELS if f'alt="{panel.title}: ' in text]
    assert len(shown) > len(PANELS) - 4, shown
    assert 1 <= text.count('alt="Evidence: ') <= MOST_CHARTS
    assert len(text.encode()) < 2 * 2**20


def test_nothing_is_fetched_from_anywhere(text):
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "<script" not in text
    assert "@import" not in text


def test_the_signs_of_severity_have_a_colour_for_light_and_one_for_dark(text):
    for _, colour in MARKS.values():
        variable = re.search(r"--[\w-]+", colour)[0]
        assert re.search(rf"{variable}: light-dark\(", text), variable


def test_what_a_stranger_wrote_is_text(tmp_path):
    run = nni.Run("<script>alert(1)</script>", {"model": "<i>M</i>", "modules": {"<a>": "<b>"}})
    run.add_finding(
        nni.Finding(
            "own", "error", "<script>x</script>", {}, nni.Remedy("<u>", "<s>", Trial([2.0, 1.0], [2.0, 0.1], True))
        )
    )
    run.metadata = {"cells": ["<script>y</script>"], "seed": "<p>"}
    text = write_report(run, tmp_path / "r.html").read_text(encoding="utf-8")
    for markup in ("<script", "<i>", "<u>", "<s>", "<p>&lt;", "<a>"):
        assert markup not in text
    assert "&lt;script&gt;x" in text


def test_before_the_first_step_it_says_so(tmp_path):
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        text = inspector.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "No check has been made yet" in text
    assert "0 steps" in text
    assert "What happened inside" not in text


def test_the_checklist_answers_each_question_of_the_wizard(tmp_path):
    run = nni.Run("made", {"model": "M"})
    run.add_finding(nni.Finding("zeroed_gradients", "error", "Kept.", basis="structure"))
    run.add_finding(nni.Finding("shuffling", "ok", "Yes: <mixed>."))
    run.add_finding(nni.Finding("own", "info", "Of my own."))
    text = write_report(run, tmp_path / "r.html").read_text(encoding="utf-8")
    checklist = text[text.index("The checklist") :]
    assert f"2 of {len(nni.catalog())} steps of the wizard were made" in checklist
    for info in nni.catalog():
        assert html.escape(info.question) in checklist
    assert "</b> Yes: &lt;mixed&gt;.</td>" in checklist
    assert checklist.count("not made yet") == len(nni.catalog()) - 2
    assert "Checks of your own" in checklist


def test_symptoms_stand_apart_from_their_cause(tmp_path):
    run = nni.Run("made", {"model": "M"})
    run.add_finding(nni.Finding("zeroed_gradients", "error", "Kept.", basis="structure"))
    run.add_finding(nni.Finding("one_batch_fit", "warning", "It does not."))
    text = write_report(run, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "1 likely cause was found" in text
    assert text.count('<div class="finding">') == 1
    assert "1 symptom, which is explained by what stands above</summary>" in text


@pytest.mark.parametrize("modules", [3, 400])
def test_a_network_of_many_modules_keeps_the_page_short(tmp_path, modules):
    names = [f"block.{place}" for place in range(modules)]
    parameters = {
        "model": "M",
        "modules": {"": "M", **dict.fromkeys(names, "Linear")},
        "own_parameters": dict.fromkeys(names, 1056),
        "optimizers": [{"name": "SGD", "groups": [{"lr": 0.1, "names": [name]} for name in names]}],
        "frozen": names,
    }
    text = write_report(nni.Run("made", parameters), tmp_path / "r.html").read_text(encoding="utf-8")
    open_page = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    assert open_page.count("<tr>") <= MOST_ROWS + 10
    assert (f"block.11 and {modules - 12} more" in open_page) == (modules > 12)
    assert f"<summary>{modules + 1} modules</summary>" in text
    assert text.count("Linear, 1,056 parameters of its own") == modules
    assert text.count('<details class="long">') == (2 if modules > MOST_ROWS else 0)


def test_a_run_from_a_file_has_a_report(tmp_path):
    case = classifier()
    file = tmp_path / "run.sqlite"
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, run=file):
        case.run(2)
    text = write_report(nni.open_run(file), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "12 steps" in text
    assert "<figure>" in text


@pytest.mark.parametrize("path", [3, "nowhere/report.html", "."])
def test_a_bad_path_is_named(watched, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(nni.ArgumentError, match=r"path: expected .* Write \"report.html\""):
        watched.report(path)
