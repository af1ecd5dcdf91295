import pytest

from nn_inspector.live import visibility
from nn_inspector.live.visibility import SPARING, TRUST, Visibility

HIDDEN, SEEN = {"hidden": True}, {"request": "snapshot"}
HOURS = 3600.0


@pytest.fixture
def now(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(visibility.time, "monotonic", lambda: now[0])
    return now


def drawn(now, is_due, seconds, meanwhile=lambda second: None):
    """When views are drawn that are asked for twice a second, in seconds from now."""
    begin, times = now[0], [0.0]
    for half in range(1, round(2 * seconds) + 1):
        now[0] = begin + half / 2
        meanwhile(half / 2)
        if is_due(begin + times[-1]):
            times.append(half / 2)
    return times[1:]


def test_a_page_counts_as_hidden_until_it_says_otherwise(now):
    pages = Visibility()
    assert pages.is_due(now[0])
    pages.note(HIDDEN)
    now[0] += 8 * HOURS  # it was closed, or its timers are held back
    assert not pages.is_due(0.0)
    pages.note(SEEN)
    assert pages.is_due(now[0])
    pages.note(HIDDEN)
    assert not pages.is_due(0.0)
    pages.note(SEEN, "opened again")
    assert pages.is_due(now[0])


def test_where_nothing_is_known_views_are_drawn_more_and_more_rarely(now):
    pages = Visibility()
    times = drawn(now, pages.is_due, HOURS)
    assert times[:10] == [0.5 * n for n in range(1, 11)]
    assert 50 < sum(time <= 600 for time in times) < 60
    assert 60 < len(times) < 80
    assert HOURS - times[-1] < 1.2 * HOURS / SPARING
    pages.wake()
    assert pages.is_due(now[0])


def test_a_page_that_says_it_is_seen_gets_every_update(now):
    pages = Visibility()
    pages.note(SEEN)
    times = drawn(now, pages.is_due, 60.0, lambda second: pages.note(SEEN) if second % 3 == 0 else None)
    assert times == [0.5 * n for n in range(1, 121)]


def test_a_page_that_was_seen_and_says_no_more_is_sent_what_it_can_draw_in_a_second(now):
    """A laptop that sleeps, or has no network: all of it is drawn when it is back. Should its word be lost alone, it still sees some."""
    pages = Visibility()
    pages.note(SEEN)
    times = drawn(now, pages.is_due, 8 * HOURS)
    assert times[:10] == [0.5 * n for n in range(1, 11)]
    assert TRUST < times[-4] < times[-1] / 50
    assert len(times) <= 16, "100 updates take 6 s"
    pages.note(SEEN)
    assert pages.is_due(now[0])


def test_of_several_pages_one_that_is_seen_is_enough(now):
    pages = Visibility()
    pages.note(SEEN, "one")
    pages.note(HIDDEN, "other")
    assert pages.is_due(now[0])
    now[0] += TRUST
    pages.note(HIDDEN, "other")
    assert pages.is_due(now[0])
    times = drawn(now, pages.is_due, HOURS)  # the one that was seen was closed
    assert len(times) < 5


def test_what_is_kept_is_drawn_for_a_hidden_page_too_but_more_and_more_rarely(now):
    pages = Visibility()
    pages.note(SEEN)
    now[0] += 5.0
    pages.note(HIDDEN)
    times = drawn(now, pages.is_worth_keeping, 8 * HOURS)
    assert len(times) < 100
    assert 8 * HOURS - times[-1] < 1.2 * HOURS


def test_pages_that_were_closed_are_forgotten(now):
    pages = Visibility()
    for reload in range(100):
        pages.note(HIDDEN, f"page {reload}")
    assert len(pages._pages) == 32
    pages.note(SEEN, "page 0")
    assert pages.is_due(now[0])
