"""Items a second, what the time goes into, and memory."""

import numpy as np
import pytest

import nn_inspector as nni
from nn_inspector.panels import memory, throughput, time_shares
from nn_inspector.panels.panel import Selection
from nn_inspector.probes import Measurement

ALL = Selection()
MIB = 2.0**20


def run_with(loaders=None, **quantities):
    """Quantity -> values at steps 0, 1, ...; source "train"."""
    run = nni.Run("made", {"model": "M", **({"loaders": loaders} if loaders else {})})
    measured = {name: list(values) for name, values in quantities.items()}
    run.record(
        [
            Measurement(step, name, "train", float(value))
            for name, values in measured.items()
            for step, value in enumerate(values)
        ]
    )
    run.steps = max(map(len, measured.values()), default=3)
    return run


@pytest.mark.parametrize(
    ("loaders", "rate", "unit"),
    [
        ({"train": {"batch_size": 32}}, 6400.0, "items a second"),
        ({"train": {"batch_size": None}}, 200.0, "steps a second"),
        (None, 200.0, "steps a second"),
    ],
)
def test_throughput_counts_items_where_the_batches_have_a_size_and_all_of_the_time(loaders, rate, unit):
    chart = throughput.picture(run_with(loaders, step_seconds=[0.004, 0.004], own_seconds=[0.001, 0.001]), ALL)
    assert chart.y_label == unit
    assert chart.series["each measured step"].y == pytest.approx([rate, rate])


def test_a_step_without_a_time_is_a_gap_and_without_any_there_is_no_picture():
    chart = throughput.picture(run_with(step_seconds=[0.0, 0.01]), ALL)
    assert np.isnan(chart.series["each measured step"].y[0])
    assert chart.series["smoothed"].y[-1] == pytest.approx(100.0)
    assert throughput.picture(run_with(), ALL).empty


def test_shares_are_those_of_the_step_with_watching():
    run = run_with(step_seconds=[0.008, 0.008], data_seconds=[0.005, 0.005], own_seconds=[0.002, 0.002])
    chart = time_shares.picture(run, ALL)
    assert {name: curve.y[-1] for name, curve in chart.series.items()} == pytest.approx(
        {"waiting for data": 50.0, "watching": 20.0}
    )
    assert chart.y_label == "% of the time"
    assert chart.note == ""


def test_where_no_loader_is_watched_waiting_is_said_to_be_unknown():
    chart = time_shares.picture(run_with(step_seconds=[0.01], own_seconds=[0.01]), ALL)
    assert list(chart.series) == ["watching"]
    assert "train_loader" in chart.note
    assert time_shares.picture(run_with(), ALL).empty


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "MiB"), (1024.0, "GiB")])
def test_memory_has_a_unit_that_fits_and_says_what_came_to_it(scale, unit):
    run = nni.Run("made", {"model": "M"})
    run.record(
        [Measurement(step, "memory_bytes", "process", value * scale * MIB) for step, value in enumerate([200.0, 300.0])]
    )
    run.record([Measurement(1, "memory_bytes", "cuda:0", 20.0 * scale * MIB)])
    run.steps = 2
    chart = memory.picture(run, ALL)
    assert chart.y_label == unit
    assert list(chart.series) == ["process", "cuda:0"]
    assert chart.series["process"].y.tolist() == [200.0, 300.0]
    assert {name: curve.role for name, curve in chart.series.items()} == {"process": "main", "cuda:0": "points"}, (
        "one value alone is no line"
    )
    assert (
        chart.note
        == f"process: 300 {unit} now, +100 since the beginning. cuda:0: 20 {unit} now, +0 since the beginning."
    )


def test_where_memory_is_not_told_that_is_said():
    assert memory.picture(run_with(), ALL).note == "Not measured, or the system does not tell."
    assert memory.picture(run_with(), ALL).empty
