import pytest

from nn_inspector.probes import DENSE_STEPS, Schedule


class Clock:
    """Stands in for time.perf_counter()."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("nn_inspector.probes.schedule.time.perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def simulate(clock, schedule, steps, *, first=0, step=0.010, light=0.00005, full=0.020):
    """A training whose measured steps cost `full` and others `light`; returns which were measured."""
    due, measured = first < DENSE_STEPS, []
    for number in range(first, first + steps):
        clock.now += step
        schedule.start()
        clock.now += full if due else light
        measured.append(due)
        due = schedule.end_step(number + 1, due)
        schedule.stop()
    return measured


@pytest.mark.parametrize("full", [0.0005, 0.002, 0.02, 0.2])
@pytest.mark.parametrize("budget", [0.01, 0.03, 0.1])
def test_the_budget_is_kept_after_the_first_steps(clock, full, budget):
    schedule = Schedule("auto", budget)
    measured = simulate(clock, schedule, 20_000, full=full)
    assert all(measured[:DENSE_STEPS])
    own = sum(measured[DENSE_STEPS:]) * full + measured[DENSE_STEPS:].count(False) * 0.00005
    total = (20_000 - DENSE_STEPS) * 0.010 + own
    assert own / total <= 0.75 * budget  # what our clock does not see needs the rest
    affordable = (0.7 * budget - 0.005) * total / full  # 0.005 is what every step costs
    assert sum(measured[DENSE_STEPS:]) >= 0.8 * min(affordable, 20_000) - 1


def test_a_fast_loop_is_still_measured_now_and_then(clock):
    """What every step costs uses up the budget: a quarter of it goes to full measurements all the same."""
    measured = simulate(clock, Schedule("auto", 0.03), 20_000, step=0.001, light=0.00006, full=0.003)
    share = sum(measured[DENSE_STEPS:]) * 0.003 / (20_000 * 0.001)
    assert 0.005 < share < 0.01


def test_a_cheap_measurement_is_made_at_every_step(clock):
    assert simulate(clock, Schedule("auto", 0.03), 200, full=0.0002).count(False) <= 2


@pytest.mark.parametrize("every", [1, 2, 10])
def test_a_fixed_cadence_is_kept_whatever_it_costs(clock, every):
    measured = simulate(clock, Schedule(every, 0.0001), 100, full=1.0)
    assert [step for step, due in enumerate(measured) if due] == list(range(0, 100, every))


def test_a_pause_of_the_users_buys_no_measurements(clock):
    schedule = Schedule("auto", 0.03)
    simulate(clock, schedule, 500)
    clock.now += 3600
    measured = simulate(clock, schedule, 50, first=500)
    assert sum(measured) <= 4
    assert schedule.total < 20


@pytest.mark.parametrize(("light", "interval"), [(0.0, 95), (0.0001, 182), (0.01, 381)])
def test_the_interval_that_is_wanted_pays_for_what_every_step_costs(clock, light, interval):
    """Several processes agree on its mean. A step of 10 ms has 0.21 ms to spend; a quarter of it is for measuring alone."""
    schedule = Schedule("auto", 0.03)
    for number in range(2000):
        due = number < DENSE_STEPS or number % 100 == 0
        clock.now += 0.010 - light * (not due)
        schedule.start()
        clock.now += 0.020 if due else light
        schedule.end_step(number + 1, due)
        schedule.stop()
    assert schedule.wanted_interval == pytest.approx(interval, rel=0.1)


def test_nested_work_is_counted_once(clock):
    schedule = Schedule()
    schedule.start()
    clock.now += 1
    schedule.start()
    clock.now += 1
    schedule.stop()
    clock.now += 1
    schedule.stop()
    schedule.end_step(1, was_due=True)
    assert schedule.first == 3
    assert schedule.own == 0
