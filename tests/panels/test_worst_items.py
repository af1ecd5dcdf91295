from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.history import earlier
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.chart_widget import ChartWidget
from nn_inspector.panels.panel import Selection
from nn_inspector.panels.worst_items import NOTHING, PANEL, as_image
from nn_inspector.probes import ITEM_FIELDS, Measurement
from tests.trainings import blobs, classifier, mlp


def trained(loader, model=None, **options):
    case = classifier()
    model = model or case.model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with nni.watch(model, optimizer, case.loss_fn, train_loader=loader, every=1, **options) as inspector:
        for inputs, target in loader:
            optimizer.zero_grad()
            case.loss_fn(model(inputs), target).backward()
            optimizer.step()
    return inspector.run


def images(channels=1):
    data = TensorDataset(torch.rand(32, channels, 6, 6), torch.randint(0, 4, (32,)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(36 * channels, 4))
    return DataLoader(data, batch_size=16, shuffle=True), model


def test_items_are_named_by_their_index_with_what_was_said_and_what_is_true():
    data, model = blobs(), mlp()
    with torch.no_grad():
        data.tensors[0][70] *= 50
        data.tensors[1][70] = model(data.tensors[0][70]).argmin()
    chart = PANEL.picture(trained(DataLoader(data, batch_size=96, shuffle=True), model), Selection())
    assert chart.labels[0][1] == "item 70"
    assert chart.remarks[0].endswith(f"true {data.tensors[1][70].item()}")
    losses = chart.series["loss"].y
    assert (np.diff(losses) <= 0).all()
    assert "Batch of step 0." in chart.note
    assert not chart.pictures


def test_where_no_index_is_known_it_names_places_and_says_what_they_are():
    chart = PANEL.picture(trained(list(DataLoader(blobs(), batch_size=48))), Selection())
    assert chart.labels[0][1].startswith("place ")
    assert "A place is that in the batch" in chart.note


def test_nothing_of_the_data_is_shown_unless_that_is_allowed():
    loader, model = images()
    chart = PANEL.picture(trained(loader, model), Selection())
    assert not chart.pictures
    assert "<img" not in ChartWidget(chart).children[-1].value


@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_are_kept_are_shown_with_a_text_for_those_who_do_not_see_them(channels):
    loader, model = images(channels)
    run = trained(loader, model, keep_samples=True)
    chart = PANEL.picture(run, Selection())
    assert len(chart.pictures) == 6
    index = int(chart.labels[0][1].removeprefix("item "))
    assert np.array_equal(chart.pictures[0], as_image(loader.dataset.tensors[0][index].double().numpy()))
    html = ChartWidget(chart).children[-1].value
    assert html.count("<img") == 6
    assert f'alt="item {index}: said ' in html
    assert png([(PANEL.title, chart)]).startswith(b"\x89PNG")
    assert len(PANEL.picture(earlier(run, 0), Selection()).pictures) == 6


def test_of_items_that_are_no_images_some_numbers_are_shown():
    chart = PANEL.picture(trained(DataLoader(blobs(), batch_size=48), keep_samples=True), Selection())
    assert f"{chart.labels[0][1]}: " in chart.note
    assert ", …" in chart.note


def test_a_mean_of_several_batches_is_not_shown_as_a_batch():
    run = nni.Run("made", {"model": "M"})
    row = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(row) == len(ITEM_FIELDS)
    for step in range(400):
        run.record([Measurement(step, "worst_items", "train", np.array(row) + step)])
    run.steps = 400
    shown = [PANEL.picture(earlier(run, step), Selection()).labels[0][1] for step in range(0, 400, 20)]
    names = {f"item {5 + step}" for step in range(400)}
    assert set(shown) <= names


def test_where_items_cannot_be_told_apart_it_says_so():
    run = nni.Run("made", {"model": "M"})
    run.steps = 5
    assert NOTHING in ChartWidget(PANEL.picture(run, Selection())).children[0].value


@pytest.mark.parametrize("shape", [(8,), (1, 8), (5, 4, 4), (3, 1, 4), (2, 3, 4, 4)])
def test_what_does_not_look_like_an_image_is_none(shape):
    assert as_image(np.zeros(shape)) is None
