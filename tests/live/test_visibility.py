import pytest

from nn_inspector.live import visibility
from nn_inspector.live.visibility import HOLDS, Visibility

HIDDEN, SEEN = {"hidden": True}, {"request": "snapshot"}


@pytest.fixture
def now(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(visibility.time, "monotonic", lambda: now[0])
    return now


def test_a_page_counts_as_hidden_until_it_says_otherwise_or_is_heard_no_more(now):
    pages = Visibility()
    assert not pages.is_hidden
    pages.note(HIDDEN)
    assert pages.is_hidden
    pages.note(SEEN)
    assert not pages.is_hidden
    pages.note(HIDDEN)
    now[0] += HOLDS - 1
    assert pages.is_hidden
    pages.note(HIDDEN)  # it is still there
    now[0] += HOLDS - 1
    assert pages.is_hidden
    now[0] += 2  # it was closed
    assert not pages.is_hidden


def test_of_several_pages_one_that_is_seen_is_enough(now):
    pages = Visibility()
    pages.note(SEEN, "one")
    pages.note(HIDDEN, "other")
    assert not pages.is_hidden
    now[0] += HOLDS - 1
    pages.note(HIDDEN, "other")
    assert not pages.is_hidden
    now[0] += 2  # the one that was seen was closed
    assert pages.is_hidden


def test_pages_that_were_closed_are_forgotten(now):
    pages = Visibility()
    for reload in range(10):
        pages.note(SEEN, f"page {reload}")
        now[0] += HOLDS
    assert len(pages._pages) == 1
