"""From a finding to the batch of its step, and to its items, kept or looked up in the data set."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nn_inspector as nni
from nn_inspector.experiments import look_up
from nn_inspector.history import Finding
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.panels.data_items import LATER
from nn_inspector.panels.item_image import as_image
from nn_inspector.panels.panel import Selection
from nn_inspector.report import report_html

STEPS, DAMAGED = 200, 150
"""Behind the steps that are all measured, and among those of which hardly any is."""


class Texts(Dataset):
    """Reviews of eight numbers each, of which only the words are for people."""

    def __init__(self, inputs):
        self.inputs = inputs

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return {"text": f"review {index} <i>", "numbers": self.inputs[index], "label": index % 4}


class Table(Texts):
    def __getitem__(self, index):
        return {
            "age": self.inputs[index, 0],
            "label": index % 4,
            **{f"c{n}": self.inputs[index, n] for n in range(1, 8)},
        }


class Broken(Texts):
    """Gives each item once."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.left = len(inputs)

    def __getitem__(self, index):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("no more")
        return super().__getitem__(index)


def inputs_of(items, *shape):
    inputs = torch.rand(items, *shape, generator=torch.Generator().manual_seed(2))
    inputs[DAMAGED * 4 + 2] = float("nan")
    return inputs


def columns(batch):
    return torch.stack([batch["age"], *(batch[f"c{n}"] for n in range(1, 8))], dim=1)


def trained(data, get=lambda batch: batch[0], *, size=8, **options):
    """A training whose loss is lost at step 150, with the default budget."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    workers = {name: options.pop(name) for name in ("num_workers", "in_order") if name in options}
    loss_fn, loader = nn.CrossEntropyLoss(), DataLoader(data, batch_size=4, **workers)
    inspector = nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False, **options)
    for batch in loader:
        optimizer.zero_grad()
        target = batch["label"] if isinstance(batch, dict) else batch[1]
        loss_fn(model(get(batch)), target).backward()
        optimizer.step()
    inspector.settle()
    return inspector


def pictures():
    return TensorDataset(inputs_of(4 * STEPS, 1, 6, 6), torch.zeros(4 * STEPS, dtype=torch.long))


def evidence(inspector, check="nonfinite", **facts):
    """What the dashboard shows after a click on a finding, and the dashboard."""
    dashboard = Dashboard(inspector)
    finding = inspector.check(check) if not facts else Finding(check, "error", "made", evidence=facts)
    inspector.note(finding)
    dashboard.show_evidence(finding)
    return dashboard._charts["worst_items"]._shown, dashboard


@pytest.mark.parametrize("keep_samples", [True, False])
def test_a_lost_loss_leads_to_its_step_and_to_the_picture_that_did_it(keep_samples):
    inspector = trained(pictures(), size=36, keep_samples=keep_samples)
    chart, dashboard = evidence(inspector)
    assert dashboard._time.slider.value == DAMAGED
    assert chart.labels[0][1] == f"item {4 * DAMAGED + 2}"
    assert (chart.alert, len(chart.pictures)) == ("", 4)
    second = int(chart.labels[1][1].removeprefix("item "))
    data = inspector.training.train_loader.dataset.tensors[0]
    assert np.array_equal(chart.pictures[1], as_image(data[second].double().numpy()))
    assert f"Batch of step {DAMAGED}." in chart.note
    assert ("looked up in your data set" in chart.note) is not keep_samples
    assert png([("Worst items", chart)]).startswith(b"\x89PNG")


@pytest.mark.parametrize("keep_samples", [True, False])
@pytest.mark.parametrize(
    ("kind", "get", "text"),
    [
        (Texts, lambda batch: batch["numbers"], "item 602: “review 602 <i>”."),
        (Table, columns, "item 602: age nan, c1 nan, c2 nan, c3 nan, c4 nan, c5 nan, …."),
    ],
)
def test_texts_and_rows_of_a_table_are_looked_up(kind, get, text, keep_samples):
    chart, dashboard = evidence(trained(kind(inputs_of(4 * STEPS, 8)), get, keep_samples=keep_samples))
    assert text in chart.note
    assert not chart.pictures
    assert "<i>" not in dashboard._charts["worst_items"]._note.value


def test_what_was_looked_up_is_nowhere_in_what_is_saved(tmp_path):
    inspector = trained(Texts(inputs_of(4 * STEPS, 8)), lambda batch: batch["numbers"], run=tmp_path / "a.sqlite")
    chart, dashboard = evidence(inspector)
    assert "review 602" in chart.note
    assert "looked up" not in dashboard._twin()
    assert "review 602" not in report_html(inspector.run, Selection())
    inspector.detach()
    assert all(b"review" not in file.read_bytes() for file in tmp_path.iterdir())


def test_nothing_is_looked_up_while_steps_are_made_and_all_of_it_afterwards(monkeypatch):
    inspector = trained(pictures(), size=36)
    inspector.note(inspector.check("nonfinite"))
    dashboard = Dashboard(inspector)
    dashboard._choice.add(["worst_items"])
    dashboard._on_choice()
    monkeypatch.setattr(type(inspector), "is_training", property(lambda _: True))
    monkeypatch.setattr("nn_inspector.inspector.look_up", lambda *_, **__: pytest.fail("a step is being made"))
    dashboard.show_evidence(inspector.run.finding("nonfinite"))
    assert LATER in dashboard._charts["worst_items"]._shown.note
    monkeypatch.undo()
    dashboard._after_cell()
    assert len(dashboard._charts["worst_items"]._shown.pictures) == 4


@pytest.mark.parametrize("keep_samples", [True, False])
def test_a_data_set_that_fails_is_said_and_what_was_kept_is_shown(keep_samples):
    chart, _ = evidence(
        trained(Broken(inputs_of(4 * STEPS, 8)), lambda batch: batch["numbers"], keep_samples=keep_samples)
    )
    assert "Item 602 could not be had: RuntimeError: no more." in chart.note
    assert chart.labels[0][1] == "item 602"
    assert ("item 602: nan, nan" in chart.note) is keep_samples


def test_items_are_asked_for_once_and_leave_no_trace(monkeypatch):
    inspector = trained(Texts(inputs_of(4 * STEPS, 8)), lambda batch: batch["numbers"])
    finding, asked = inspector.check("nonfinite"), []

    def look_up_and_note(loader, indices, *rest, **options):
        asked.extend(indices)
        return look_up(loader, indices, *rest, **options)

    monkeypatch.setattr("nn_inspector.inspector.look_up", look_up_and_note)
    state, recorded = random.getstate(), inspector.run.quantities()
    dashboard = Dashboard(inspector)
    dashboard.show_evidence(finding)
    dashboard._draw()
    assert (random.getstate(), inspector.run.quantities(), inspector.run.steps) == (state, recorded, STEPS)
    assert sorted(asked) == [600, 601, 602, 603]


def test_with_workers_items_are_looked_up_as_well():
    chart, _ = evidence(trained(pictures(), size=36, num_workers=1))
    assert chart.labels[0][1] == "item 602"
    assert len(chart.pictures) == 4
    assert "looked up" in chart.note


def test_where_the_order_of_batches_is_not_known_places_are_shown_and_nothing_is_looked_up():
    chart, _ = evidence(trained(pictures(), size=36, num_workers=1, in_order=False))
    assert chart.labels[0][1] == "place 2"
    assert not chart.pictures
    assert "looked up" not in chart.note


@pytest.mark.parametrize("check", ["loss_spike", "nonfinite", "divergence"])
def test_that_another_step_is_shown_is_said_above_the_picture(check):
    inspector = trained(TensorDataset(torch.rand(4 * STEPS, 8), torch.zeros(4 * STEPS, dtype=torch.long)), every=100)
    chart, dashboard = evidence(inspector, check, step=177.0)
    assert chart.alert == "The batch of step 177 was not looked at; this is that of step 100."
    assert "was not looked at" in dashboard._charts["worst_items"]._legend.value
    dashboard._time.follow()
    assert dashboard._charts["worst_items"]._shown.alert == ""
    assert "was not looked at" not in dashboard._charts["worst_items"]._legend.value


def test_the_latest_step_is_asked_for_by_a_finding_only():
    inspector = trained(TensorDataset(torch.rand(4 * STEPS, 8), torch.zeros(4 * STEPS, dtype=torch.long)), every=150)
    dashboard = Dashboard(inspector)
    dashboard._choice.add(["worst_items"])
    dashboard._on_choice()
    assert dashboard._charts["worst_items"]._shown.alert == ""
    dashboard.show_evidence(Finding("divergence", "error", "made", evidence={"step": 199.0}))
    chart, _ = evidence(inspector, "divergence", step=199.0)
    assert chart.alert == "The batch of step 199 was not looked at; this is that of step 150."
