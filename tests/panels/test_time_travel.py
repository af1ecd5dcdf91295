"""The slider over the steps, and playing along them."""

import ipywidgets
import pytest

import nn_inspector as nni
from nn_inspector.panels.beat import Beat
from nn_inspector.panels.time_travel import TimeTravel


class Travelled(TimeTravel):
    """A slider over a made run, with what it asks of others."""

    def __init__(self):
        self.training, self.heard, self.changes = False, True, 0
        super().__init__(nni.Run("made", {"model": "M"}), self.count, lambda: self.training, lambda: self.heard)

    def count(self):
        self.changes += 1

    def reach(self, steps):
        self._run.steps = steps
        self.refresh()

    @property
    def button(self):
        return self.play.description, self.play.icon, "nni-playing" in self.play._dom_classes


PLAY, STOP = ("Play", "play", False), ("Stop playing", "pause", True)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("nn_inspector.panels.beat.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def travel(clock):
    """Of 1,001 steps, so that one move is 10 of them, while they are made."""
    travel = Travelled()
    travel.training = True
    travel.reach(1001)
    return travel


def test_while_steps_are_made_the_slider_takes_one_message_and_the_clock_none(monkeypatch):
    sent = []
    monkeypatch.setattr(ipywidgets.Widget, "send_state", lambda widget, key=None: sent.append((widget, list(key))))
    travel = Travelled()
    travel.training = True
    sent.clear()
    travel.reach(50)
    assert sent == [(travel.slider, ["max", "value"])]
    travel.slider.value = 10
    assert travel._clock not in [widget for widget, _ in sent]
    travel.follow()
    travel.training = False
    travel.refresh()
    assert (travel._clock.max, travel._clock.value) == (49, 49)
    travel.slider.value = 10
    assert travel._clock.value == 10


def test_playing_in_the_page_rests_while_a_training_runs():
    travel = Travelled()
    travel.reach(50)
    travel.play.value = True
    assert travel.button == STOP
    travel.training, travel.heard = True, False
    travel.refresh()
    assert (travel.play.value, travel.play.disabled, travel.button) == (False, True, PLAY)
    travel.training = False
    travel.refresh()
    assert not travel.play.disabled


def test_while_a_training_runs_the_slider_moves_on_by_the_time_that_has_gone_by(travel, clock):
    travel.play_along()
    assert (travel.slider.value, travel.button, travel.playing_along) == (0, STOP, True), "from the first step"
    for seconds, step in ((0.3, 0), (0.2, 10), (0.35, 20), (3.2, 100)):
        clock[0] += seconds
        travel.refresh()
        assert travel.slider.value == step
    assert not travel.play.disabled
    assert not travel.play.value, "the page's clock stands still"


def test_it_plays_on_from_where_the_slider_stands_and_stays_where_playing_ends(travel, clock):
    travel.go_to(500)
    travel.play_along()
    clock[0] += 0.45
    travel.refresh()
    changes = travel.changes
    travel.stop_playing_along()
    clock[0] += 9
    travel.refresh()
    assert (travel.slider.value, travel.button, travel.changes) == (510, PLAY, changes)


def test_playing_ends_at_the_latest_step_and_the_training_is_followed(travel, clock):
    travel.go_to(995)
    travel.play_along()
    clock[0] += 0.9
    travel.refresh()
    assert (travel.slider.value, travel.following, travel.playing_along, travel.button) == (1000, True, False, PLAY)
    travel.reach(1010)
    assert travel.following


def test_latest_ends_playing(travel):
    travel.play_along()
    travel.follow()
    travel.reach(1010)
    assert (travel.following, travel.playing_along, travel.button) == (True, False, PLAY)


def test_steps_that_come_meanwhile_are_no_reason_to_follow_them(clock):
    travel = Travelled()
    travel.training = True
    travel.play_along()
    travel.reach(6)
    assert (travel.slider.value, travel.playing_along) == (0, True)


def test_when_the_training_ends_the_page_plays_on(travel, clock):
    travel.play_along()
    clock[0] += 0.45
    travel.refresh()
    travel.training = False
    travel.refresh()
    assert (travel.playing_along, travel.play.value, travel.button) == (False, True, STOP)
    assert (travel._clock.value, travel._clock.step, travel._clock.max) == (10, 10, 1000)


def test_of_no_step_nothing_is_played(clock):
    travel = Travelled()
    travel.training = True
    travel.play_along()
    clock[0] += 9
    travel.refresh()
    assert (travel.slider.value, travel.playing_along, travel.button) == (0, False, PLAY)


def test_a_beat_counts_what_has_gone_by_once(clock):
    beat = Beat(0.5)
    clock[0] += 3
    assert (beat.going, beat.count()) == (False, 0)
    beat.begin()
    counted = []
    for seconds in (0.25, 0.25, 1.75, 0.0):
        clock[0] += seconds
        counted.append(beat.count())
    assert counted == [0, 1, 3, 0]
    beat.end()
    clock[0] += 3
    assert (beat.going, beat.count()) == (False, 0)
