"""What is clicked on a dashboard while a cell runs."""

import re
import threading
import time

import pytest

import nn_inspector as nni
from nn_inspector.history import Finding
from nn_inspector.live import PROTOCOL
from nn_inspector.live.control import answer
from nn_inspector.panels.beat import Beat
from nn_inspector.panels.dashboard import Dashboard
from tests.trainings import classifier


@pytest.fixture
def case():
    return classifier()


@pytest.fixture
def dashboard(case):
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        dashboard = Dashboard(inspector)
        case.run(1)
        yield dashboard
        dashboard.close()


def look(dashboard, **what):
    return answer({"version": PROTOCOL, "request": "look", "dashboard": dashboard._wishes.key, **what})


@pytest.mark.parametrize(
    ("wish", "layer"),
    [
        ({"option": 1}, "0"),
        ({"option": 99}, None),
        ({"chart": 1, "row": 1}, "2"),
        ({"chart": 1, "row": 9}, None),
        ({"chart": 9, "row": 0}, None),
        ({"chart": "1", "row": None}, None),
        ({"chart": -1, "row": 0}, None),
        ({"option": True}, None),
        ({}, None),
    ],
)
def test_a_layer_is_selected_at_the_next_step(case, dashboard, wish, layer):
    assert look(dashboard, **wish)["status"] == "ok"
    assert dashboard._layer.name is None, "nothing is done in the thread of the control channel"
    case.run(1)
    assert dashboard._layer.name == layer


@pytest.mark.parametrize("none", [{"chart": 1, "row": 0}, {"option": 0}], ids=["second click", "Clear"])
def test_a_second_click_on_a_row_selects_none_and_so_does_clear(case, dashboard, none):
    for wish, expected in (({"chart": 1, "row": 0}, "0"), (none, None)):
        look(dashboard, **wish)
        case.run(1)
        assert dashboard._layer.name == expected


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (0, 0),
        (3, 3),
        (5, 5),
        ("latest", 11),
        (10**30, 11),
        (-1, 11),
        (True, 11),
        (3.0, 11),
        ("3", 11),
        (None, 11),
        ([3], 11),
    ],
)
def test_all_panels_go_to_a_step_at_the_next_one(case, dashboard, step, shown):
    look(dashboard, step=step)
    assert dashboard._time.following, "nothing is done in the thread of the control channel"
    case.run(1)
    dashboard.refresh()
    assert (dashboard._time.slider.value, dashboard._time.slider.max) == (shown, 11)
    assert max(dashboard._charts["loss"]._shown.series["train, smoothed"].x) == shown
    assert dashboard._time.latest.disabled == (shown == 11)


@pytest.mark.parametrize(
    ("by", "shown"),
    [(-1, 4), (-5, 0), (-9, 0), (1, 11), (9, 11), (True, 11), (-1.0, 11), ("-1", 11), (None, 11)],
)
def test_a_key_leads_on_from_the_step_that_was_shown(case, dashboard, by, shown):
    dashboard.refresh()
    assert dashboard._time.slider.value == 5
    look(dashboard, by=by)
    case.run(1)
    dashboard.refresh()
    assert dashboard._time.slider.value == shown


def test_latest_follows_the_training_again(case, dashboard):
    look(dashboard, step=2)
    case.run(1)
    look(dashboard, step="latest")
    case.run(1)
    dashboard.refresh()
    assert dashboard._time.slider.value == 17


def test_of_the_steps_a_slider_is_dragged_over_only_the_last_is_shown(case, dashboard, monkeypatch):
    gone_to, go_to = [], dashboard._time.go_to
    monkeypatch.setattr(dashboard._time, "go_to", lambda step: (gone_to.append(step), go_to(step)))
    for wish in ({"step": 1}, {"step": 2}, {"option": 1}, {"step": 3}, {"by": 9}, {"step": 4}, {"by": -1}, {"by": -1}):
        look(dashboard, **wish)
    case.run(1)
    assert gone_to == [2, 4, 3, 2]
    assert dashboard._layer.name == "0"


@pytest.mark.parametrize("name", ["log_loss", "log_metrics"])
@pytest.mark.parametrize(
    ("wanted", "drawn"), [(True, True), (False, False), (1, False), ("true", False), (None, False)]
)
def test_loss_and_metrics_are_drawn_in_logarithms(case, dashboard, name, wanted, drawn):
    look(dashboard, **{name: wanted})
    case.run(1)
    box = dashboard._controls[name.removeprefix("log_")]
    assert box.value == getattr(dashboard._selection, name) == drawn
    assert dashboard._selection.log_loss + dashboard._selection.log_metrics == drawn


@pytest.mark.parametrize(("play", "playing"), [(True, True), (False, False), (1, False), (None, False)])
def test_it_plays_along_the_steps(case, dashboard, play, playing):
    look(dashboard, play=play)
    case.run(1)
    assert dashboard._time.playing_along == playing
    assert dashboard._time.following != playing
    look(dashboard, play=False)
    case.run(1)
    assert not dashboard._time.playing_along


def test_a_training_that_waits_is_played_along(case, dashboard, monkeypatch):
    monkeypatch.setattr(dashboard._time, "_beat", Beat(0.05))
    inspector = dashboard._inspector
    inspector.pause()
    training = threading.Thread(target=case.run, args=(1,), daemon=True)
    training.start()
    wait_until(lambda: inspector._steering.is_waiting)
    look(dashboard, step=2)
    look(dashboard, play=True)
    wait_until(lambda: dashboard._time.slider.value == dashboard._time.slider.max)
    assert inspector.is_paused
    inspector.resume()
    training.join(10)
    assert not training.is_alive()


def test_what_no_step_has_met_is_done_when_the_cell_has_ended(case, dashboard):
    look(dashboard, step=3)
    dashboard._inspector.settle()
    dashboard._after_cell()
    assert dashboard._time.slider.value == 3
    case.run(1)
    assert dashboard._time.slider.value == 3


def test_evidence_is_shown_at_the_next_step_and_panels_that_were_never_shown_after_the_cell(case, dashboard):
    run = dashboard._inspector.run
    run.add_finding(Finding("loss_spike", "warning", "It rose.", evidence={"step": 3.0}))
    look(dashboard, check="loss_spike")
    look(dashboard, check="never heard of")
    case.run(1)
    assert dashboard._time.slider.value == 3
    assert "evidence of" in dashboard._cards["loss"]._title.value
    assert "worst_items" not in dashboard._cards
    dashboard._inspector.settle()
    dashboard._after_cell()
    assert "worst_items" in dashboard._cards


def test_a_paused_training_shows_what_is_selected_and_goes_on_waiting(case, dashboard):
    inspector = dashboard._inspector
    inspector.pause()
    training = threading.Thread(target=case.run, args=(1,), daemon=True)
    training.start()
    wait_until(lambda: inspector._steering.is_waiting)
    look(dashboard, option=1)
    look(dashboard, step=2)
    wait_until(lambda: dashboard._layer.name == "0" and dashboard._time.slider.value == 2)
    assert inspector.is_paused
    assert training.is_alive()
    inspector.resume()
    training.join(10)
    assert not training.is_alive()


def test_a_dashboard_that_is_gone_is_said_to_be(dashboard):
    reply = answer({"version": PROTOCOL, "request": "look", "dashboard": "0"})
    assert reply["message"] == "This dashboard is not there any more."


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_snapshot_says_which_dashboards_there_are_and_no_other_kernel_has_their_keys(case, dashboard):
    def known():
        return answer({"version": PROTOCOL, "request": "snapshot"})["snapshot"]["dashboards"]

    second = Dashboard(dashboard._inspector)
    own = [dashboard._wishes.key, second._wishes.key]
    assert [key for key in known() if key in own] == own
    assert len({key.rpartition("-")[0] for key in own}) == 1
    assert all(re.fullmatch(r"[0-9a-f]{8}-\d+", key) for key in own)
    assert f"nni-board-{own[0]}" in dashboard._dom_classes
    second.close()
    assert [key for key in known() if key in own] == own[:1]
    assert look(second, step=0)["message"] == "This dashboard is not there any more."
