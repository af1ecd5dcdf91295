import pytest

from nn_inspector.live import visibility
from nn_inspector.live.visibility import HOLDS, Visibility

HIDDEN, SEEN = {"hidden": True}, {"request": "snapshot"}


@pytest.fixture
def now(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(visibility.time, "monotonic", lambda: now[0])
    return now


def test_a_page_counts_as_hidden_until_it_says_otherwise(now):
    pages = Visibility()
    assert not pages.is_hidden
    pages.note(HIDDEN)
    assert pages.is_hidden
    pages.note(SEEN)
    assert not pages.is_hidden
    pages.note(HIDDEN)
    now[0] += HOLDS - 1
    assert pages.is_hidden
    now[0] += 100 * HOLDS  # it was closed, or its timers are held back
    assert pages.is_hidden
    pages.note(SEEN, "opened again")
    assert not pages.is_hidden


def test_of_a_page_that_was_seen_and_says_no_more_nothing_is_known(now):
    pages = Visibility()
    pages.note(SEEN)
    now[0] += HOLDS + 1
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


@pytest.mark.parametrize(("said", "kept"), [(SEEN, 1), (HIDDEN, 32)])
def test_pages_that_were_closed_are_forgotten(now, said, kept):
    pages = Visibility()
    for reload in range(100):
        pages.note(said, f"page {reload}")
        now[0] += HOLDS
    assert len(pages._pages) == kept
    pages.note(SEEN, "page 0")
    assert not pages.is_hidden
