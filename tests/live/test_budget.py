"""Measuring, panels and looks together keep to `max_overhead`, whatever one of them costs. The clock is ours."""

import pytest

from nn_inspector.live import RARE, Publisher, live_findings
from nn_inspector.panels.dashboard import KEEPING
from nn_inspector.probes import DENSE_STEPS, Schedule
from nn_inspector.subscribers import Subscribers

STEP, LIGHT, FULL = 0.010, 0.00005, 0.020


class Clock:
    now = 100.0

    def spend(self, seconds):
        self.now += seconds


class Training:
    """As much of an inspector as a publisher and a schedule need."""

    def __init__(self, clock, max_overhead):
        self.clock, self.max_overhead = clock, max_overhead
        self.schedule, self.subscribers = Schedule("auto", max_overhead), Subscribers(pytest.fail)
        self.subscribe, self.steps, self._due = self.subscribers.add, 0, True

    def run(self, seconds):
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.steps += 1
            self.clock.spend(STEP)
            self.schedule.start()
            self.clock.spend(FULL if self._due else LIGHT)
            self._due = self.schedule.end_step(self.steps, self._due)
            self.schedule.shown(self.subscribers.tell(waiting=False))
            self.schedule.stop()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(f"time.{name}", lambda: clock.now)
    return clock


@pytest.mark.parametrize("max_overhead", [0.03, 0.1])
@pytest.mark.parametrize(("panels", "looks"), [(0.0, 0.0), (0.02, 0.05), (0.3, 0.5), (3.0, 0.2)])
def test_all_together_keep_to_the_budget(clock, max_overhead, panels, looks):
    training, counted = Training(clock, max_overhead), {"panels": 0, "looks": 0, "kept": 0}

    def view(name, cost):
        counted[name] += 1
        clock.spend(cost if training.steps > DENSE_STEPS else 0.0)

    Publisher(training).add(lambda: view("panels", panels))
    by_findings = Publisher(training, share=live_findings.SHARE, interval=live_findings.INTERVAL)
    by_findings.add(lambda: view("looks", looks))
    kept = 3 * panels
    Publisher(training, share=KEEPING, interval=120.0).add(lambda: view("kept", kept))
    seconds = 800.0 + 400.0 * panels  # what is begun at the end is earned back after it
    training.run(seconds)
    schedule = training.schedule
    assert schedule.own / schedule.total <= max_overhead
    measured = (schedule.measured - DENSE_STEPS) * FULL / schedule.total
    assert measured >= 0.15 * max_overhead  # and there is something new to be shown
    affordable = max_overhead * seconds
    assert counted["panels"] >= min(0.25 * affordable / panels - 1 if panels else 1300, 1300)
    assert counted["kept"] >= min(0.08 * affordable / kept - 1 if kept else 5, 5)
    assert counted["looks"] >= min(0.1 * affordable / looks - 1 if looks else 350, 350)


def test_what_one_update_costs_is_earned_back_before_the_next(clock):
    training, updates = Training(clock, 0.03), []

    def slow():
        updates.append(clock.now)
        clock.spend(2.0)

    publisher = Publisher(training)
    publisher.add(slow)
    training.run(400.0)
    begun, first, *later = updates
    assert first - begun < 3.0, "the first one begins much that the others need not"
    assert [b - a for a, b in zip([first, *later], later, strict=False)] == pytest.approx(
        [2.0 / 0.009] * len(later), rel=0.01
    )
    assert publisher.pause > RARE
    training.subscribers.tell(waiting=True)
    assert updates[-1] == clock.now - 2.0, "what stands still is shown as it is"
