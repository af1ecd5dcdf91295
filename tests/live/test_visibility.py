from nn_inspector.live import visibility
from nn_inspector.live.visibility import HOLDS, Visibility


def test_a_page_counts_as_hidden_until_it_says_otherwise_or_is_heard_no_more(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(visibility.time, "monotonic", lambda: now[0])
    page = Visibility()
    assert not page.is_hidden
    page.note({"hidden": True})
    assert page.is_hidden
    page.note({"request": "snapshot"})
    assert not page.is_hidden
    page.note({"hidden": True})
    now[0] += HOLDS - 1
    assert page.is_hidden
    page.note({"hidden": True})  # it is still there
    now[0] += HOLDS - 1
    assert page.is_hidden
    now[0] += 2  # it was closed
    assert not page.is_hidden
