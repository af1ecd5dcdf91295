import pytest

from nn_inspector.live import visibility
from nn_inspector.live.visibility import HOLDS, SPARING, Visibility

HIDDEN, SEEN = {"hidden": True}, {"request": "snapshot"}


@pytest.fixture
def now(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(visibility.time, "monotonic", lambda: now[0])
    return now


def test_a_page_counts_as_hidden_until_it_says_otherwise(now):
    pages = Visibility()
    assert pages.is_due(now[0])
    pages.note(HIDDEN)
    assert not pages.is_due(0.0)
    pages.note(SEEN)
    assert pages.is_due(now[0])
    pages.note(HIDDEN)
    now[0] += HOLDS - 1
    assert not pages.is_due(0.0)
    now[0] += 100 * HOLDS  # it was closed, or its timers are held back
    assert not pages.is_due(0.0)
    pages.note(SEEN, "opened again")
    assert pages.is_due(now[0])


def test_where_nothing_is_known_views_are_drawn_more_and_more_rarely(now):
    pages = Visibility()
    assert pages.is_due(now[0])
    drawn = []
    for _ in range(7200):  # an hour, twice a second
        now[0] += 0.5
        if not drawn or pages.is_due(drawn[-1]):
            drawn.append(now[0])
    assert [round(time - 1000.0, 1) for time in drawn[:20]] == [0.5 * n for n in range(1, 21)]
    assert 200 < len(drawn) < 260
    assert now[0] - drawn[-1] < 1.1 * 3600 / SPARING
    pages.wake()
    assert pages.is_due(now[0])


def test_a_page_that_was_seen_and_says_no_more_is_sent_to_all_the_same(now):
    """JupyterLab before 4.4 takes a kernel for idle while a cell runs, and the page says nothing then."""
    pages = Visibility()
    pages.note(SEEN)
    now[0] += 100 * HOLDS
    assert pages.is_due(now[0])


def test_of_several_pages_one_that_is_seen_is_enough(now):
    pages = Visibility()
    pages.note(SEEN, "one")
    pages.note(HIDDEN, "other")
    assert pages.is_due(now[0])
    now[0] += HOLDS - 1
    pages.note(HIDDEN, "other")
    assert pages.is_due(now[0])
    now[0] += 2  # the one that was seen was closed
    assert not pages.is_due(0.0)


@pytest.mark.parametrize(("said", "kept"), [(SEEN, 1), (HIDDEN, 32)])
def test_pages_that_were_closed_are_forgotten(now, said, kept):
    pages = Visibility()
    for reload in range(100):
        pages.note(said, f"page {reload}")
        now[0] += HOLDS
    assert len(pages._pages) == kept
    pages.note(SEEN, "page 0")
    assert pages.is_due(now[0])
