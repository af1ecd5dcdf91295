from __future__ import annotations

import numpy as np
import pytest
import torch

import nn_inspector as nni
from nn_inspector.history import Chart, earlier, row_labels
from nn_inspector.panels.chart_image import png
from nn_inspector.panels.confusion import NOTHING, PANEL
from nn_inspector.panels.matrix_widget import MatrixWidget, cell_colours, table_html
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement
from tests.trainings import classifier

SIDE = ("true class", "predicted class")


def run_of(**counts):
    run = nni.Run("made", {"model": "M"})
    for source, by_step in counts.items():
        run.record(
            [Measurement(step, "confusion", source, np.array(c, dtype=np.float64)) for step, c in enumerate(by_step)]
        )
        run.steps = max(run.steps, len(by_step))
    return run


def test_rows_are_classes_and_cells_the_share_that_was_taken_for_each():
    chart = PANEL.picture(run_of(train=[[8, 2, 0, 10]]), Selection())
    assert chart.matrix.tolist() == [[0.8, 0.2], [0.0, 1.0]]
    assert "90.0% of 20 items right." in chart.note
    assert "Most frequent mistake: 0 taken for 1, 2 times." in chart.note


def test_training_batches_are_taken_together_and_a_validation_pass_stands_for_itself():
    chart = PANEL.picture(run_of(train=[[1, 0, 0, 1]] * 3), Selection())
    assert "of 6 items right" in chart.note
    run = run_of(train=[[1, 0, 0, 1]] * 3, validation=[[0, 9, 0, 9], [5, 5, 0, 10]])
    chart = PANEL.picture(run, Selection())
    assert chart.note.startswith("Validation at step 1: 75.0% of 20 items right.")
    assert "50.0% of 18" in PANEL.picture(earlier(run, 0), Selection()).note


def test_a_class_without_items_has_an_empty_row():
    assert PANEL.picture(run_of(train=[[0, 0, 1, 1]]), Selection()).matrix.tolist() == [[0.0, 0.0], [0.5, 0.5]]


def test_where_no_classes_are_predicted_it_says_so():
    run = nni.Run("made", {"model": "M"})
    run.steps = 5
    chart = PANEL.picture(run, Selection())
    assert chart.empty
    assert NOTHING in MatrixWidget(chart).children[0].value


def test_numbers_stand_in_the_cells_and_it_is_drawn_static():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        case.run(2)
    chart = PANEL.picture(inspector.run, Selection())
    html = table_html(chart)
    assert html.count("<tr>") == 5
    assert html.count('scope="row"') == 4
    for share in chart.matrix[chart.matrix > 0]:
        assert f">{100 * share:.0f}</td>" in html
    assert png([(PANEL.title, chart)]).startswith(b"\x89PNG")


def test_names_are_no_markup():
    chart = Chart("matrix", *SIDE, {}, labels=row_labels(["<b>"]), matrix=np.ones((1, 1)))
    assert "<b>" not in table_html(chart)


def test_a_matrix_is_updated_in_place():
    widget = MatrixWidget(Chart("matrix", *SIDE, {}, matrix=np.zeros((0, 0))))
    assert widget.children[1].layout.visibility == "hidden"
    widget.update(PANEL.picture(run_of(train=[[8, 2, 0, 10]]), Selection()))
    assert widget.children[1].layout.visibility == "visible"
    assert ">80</td>" in widget.children[1].value


@pytest.mark.parametrize("share", torch.linspace(0, 1, 21).tolist())
def test_numbers_can_be_read_on_every_colour(share):
    def luminance(colour):
        parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    low, high = sorted(luminance(colour) for colour in cell_colours(share))
    assert (high + 0.05) / (low + 0.05) >= 4.5
