import itertools
import json
import time

import pytest

import nn_inspector as nni
from nn_inspector.live import PROTOCOL, Publisher, snapshot
from nn_inspector.live.control import answer
from nn_inspector.live.loss_history import POINTS, loss_history
from nn_inspector.panels.dashboard import Dashboard
from nn_inspector.probes import Measurement
from tests.trainings import classifier, watch


def request(what):
    return answer({"version": PROTOCOL, "request": what})


def test_the_snapshot_before_anything_is_watched():
    data = json.loads(json.dumps(snapshot(None), allow_nan=False))
    assert data["training"] == {"state": "none"}
    assert [row["state"] for row in data["checks"]] == ["open"] * len(data["checks"])
    assert data["version"] == PROTOCOL


def test_the_snapshot_of_a_training():
    case = classifier(weight_decay=2.0)
    with watch(case) as inspector:
        case.run(2)
        running = snapshot(inspector)["training"]
        inspector.check("initial_loss")
        inspector.check("regularization_share", seconds=300)
        data = json.loads(json.dumps(snapshot(inspector), allow_nan=False))
    assert running["state"] == "running"
    assert data["training"] | {"loss": 0, "overhead": 0, "history": 0} == {
        "state": "idle", "model": "Sequential", "step": 12, "epoch": 2, "loss": 0, "validation_loss": None, "overhead": 0,
        "learning_rate": 0.1, "history": 0,
    }  # fmt: skip
    history = data["training"]["history"]
    assert [step for step, _ in history["loss"]] == list(range(12))
    assert history["loss"][-1][1] == pytest.approx(data["training"]["loss"], rel=1e-4)
    assert history["validation_loss"] == []
    rows = {row["name"]: row for row in data["checks"]}
    assert rows["initial_loss"]["state"] == "ok"
    assert rows["initial_loss"]["code"] is None
    assert rows["regularization_share"]["state"] == "error"
    assert (rows["regularization_share"]["rank"], rows["regularization_share"]["symptom_of"]) == (0, None)
    assert "weight_decay" in rows["regularization_share"]["code"]
    assert "Tried on a copy" in rows["regularization_share"]["tried"]
    assert rows["shuffling"] | {"why": "", "question": ""} == {
        "name": "shuffling", "title": "Shuffling", "stage": "data", "stage_title": "Know what goes in", "question": "", "why": "",
        "state": "open", "message": None, "remedy": None, "tried": None, "code": None, "rank": None, "symptom_of": None,
    }  # fmt: skip


def test_it_is_small():
    assert len(json.dumps(snapshot(None))) < 60_000


def test_the_history_of_a_long_training_is_whole_and_small():
    run = nni.Run("made", {"model": "M"})
    for phase, every in (("train", 1), ("validation", 100)):
        run.record([Measurement(step, "loss", phase, 2.0) for step in range(0, 50_000, every)])
    history = loss_history(run)
    assert history["loss"][0] == history["validation_loss"][0] == [0, 2.0]
    assert history["loss"][-1] == [49_999, 2.0]
    assert all(len(points) <= POINTS for points in history.values())
    assert len(json.dumps(history)) < 4_000


def test_a_loss_that_is_not_a_number_fits_into_json():
    case = classifier(lr=1e30)
    with watch(case) as inspector:
        case.run(2)
        inspector.settle()
        training = json.loads(json.dumps(snapshot(inspector), allow_nan=False))["training"]
    assert training["loss"] is training["history"]["loss"][-1][1] is None


def test_stop_is_obeyed_while_a_training_runs_and_refused_otherwise():
    case = classifier()
    assert request("stop")["message"] == "No training is running."
    with watch(case) as inspector:
        assert request("stop")["message"] == "No training is running."
        case.run(1)
        reply = request("stop")
        assert reply["status"] == "ok"
        assert reply["message"] == "The training stops after this step."
        with pytest.raises(nni.TrainingStopped):
            case.run(1)
        assert inspector.run.steps == 7
        assert request("stop")["message"] == "No training is running."
        case.run(1)


def test_a_running_training_is_steered():
    case = classifier()
    with watch(case) as inspector:
        case.run(1)
        assert answer({"version": PROTOCOL, "request": "set_learning_rate", "value": 0.5})["message"] == (
            "The learning rate is 0.5 from the next step on."
        )
        case.run(1)
        assert case.optimizer.param_groups[0]["lr"] == 0.5
        assert answer({"version": PROTOCOL, "request": "set_learning_rate", "factor": 0.1})["message"] == (
            "The learning rate is multiplied by 0.1 from the next step on."
        )
        case.run(1)
        assert case.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
        assert [note["what"] for note in inspector.run.metadata["notes"]] == [
            "learning rate of all groups set to 0.5",
            "learning rate of all groups multiplied by 0.1",
        ]
        bad = answer({"version": PROTOCOL, "request": "set_learning_rate", "factor": "0.1"})
        assert bad["message"].startswith("factor: expected a number above 0, got '0.1'.")
        bad = answer({"version": PROTOCOL, "request": "set_learning_rate", "value": None})
        assert bad["message"].startswith("value: expected a learning rate from 0, got None.")
        assert "waits after this step" in request("pause")["message"]
        assert request("snapshot")["snapshot"]["training"]["state"] == "paused"
        assert request("step")["message"] == "The training makes one step and waits."
        assert request("resume")["message"] == "The training goes on."
        case.run(1)
        assert request("snapshot")["snapshot"]["training"]["state"] == "running"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": PROTOCOL, "request": "delete"}, "Unknown request: 'delete'."),
        ({"version": PROTOCOL}, "Unknown request: None."),
        ({"version": 99, "request": "stop"}, "Install the same version of nn_inspector in both."),
        ({}, "JupyterLab's version None"),
    ],
)
def test_what_is_not_understood_is_answered(content, message):
    reply = answer(content)
    assert reply["status"] == "error"
    assert message in reply["message"]
    assert "snapshot" not in reply


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("nn_inspector.live.publisher.time.monotonic", lambda: self.now)


def test_views_are_updated_twice_a_second_at_most(monkeypatch):
    clock, case = Clock(monkeypatch), classifier()
    with watch(case) as inspector:
        publisher, updates = Publisher(inspector), []
        publisher.add(lambda: updates.append(clock.now))
        x, y = next(iter(case.train_loader))
        for _ in range(100):
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            clock.now += 0.1
    gaps = [later - earlier for earlier, later in itertools.pairwise(updates)]
    assert 16 <= len(updates) <= 20
    assert min(gaps) >= 0.5 - 1e-9


def test_a_slow_view_is_updated_more_rarely(monkeypatch):
    clock, case = Clock(monkeypatch), classifier()
    with watch(case, max_overhead=0.1) as inspector:
        publisher, updates = Publisher(inspector), []

        def slow():
            updates.append(clock.now)
            clock.now += 0.2

        publisher.add(slow)
        x, y = next(iter(case.train_loader))
        while clock.now < 200:
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            clock.now += 0.1
    assert 0.2 * len(updates) / 100 == pytest.approx(0.04, rel=0.2)


def test_a_closed_publisher_updates_nothing():
    case = classifier()
    with watch(case) as inspector:
        publisher, updates = Publisher(inspector), []
        remove = publisher.add(lambda: updates.append(time.monotonic()))
        case.run(1)
        assert len(updates) == 1
        remove()
        publisher.update()
        publisher.add(lambda: updates.append(0))
        publisher.close()
        publisher.update()
        case.run(1)
        assert len(updates) == 1


def test_views_rest_while_the_page_is_hidden():
    case = classifier()
    with watch(case) as inspector:
        dashboard = Dashboard(inspector)
        case.run(1)
        answer({"version": PROTOCOL, "request": "snapshot", "hidden": True})
        before = dashboard._header.value
        case.run(1)
        dashboard._publisher.update()
        assert dashboard._header.value == before
        answer({"version": PROTOCOL, "request": "snapshot"})
        dashboard._publisher.update()
        assert f"{inspector.run.steps} steps" in dashboard._header.value
        dashboard.close()
